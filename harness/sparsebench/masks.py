"""From a method's words to masks: how many connections, then which. The one rule all methods share.

Counts are host integers in float64 arithmetic; the array part is five lines and runs on any `xp`. What a host does
faster, to the same result, is in `rewiring`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise, selection
from sparsebench.distributions import active
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.method import Event, Method, Signals

Mask = NDArray[np.bool_]
Masks = dict[str, Mask]
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Counts:
    """What one update does to one layer: `kept` of its active entries stay, then `grown` are chosen to join."""

    kept: int
    grown: int

    @property
    def active(self) -> int:
        """Active entries after the update."""
        return self.kept + self.grown


@dataclass(frozen=True)
class Change:
    """What one update did to one layer; `grown` counts connections that are active now and were not before."""

    active: int
    grown: int
    dropped: int


def plan(layer: Layer, sparsity: float, share: float, now: int, drop_fraction: float) -> Counts:
    """Drop n = trunc(f · active) entries, or more if fewer may stay, then fill up to N − ⌊share·s·N⌋."""
    target = active(layer.size, share * sparsity)
    kept = min(now - math.trunc(drop_fraction * now), target)
    return Counts(kept, target - kept)


def budget(
    layers: Sequence[Layer], sparsities: Mapping[str, float], now: Mapping[str, int], event: Event
) -> dict[str, Counts]:
    """The plan of every layer for one event; `now` are the active counts before it."""
    return {
        layer.name: plan(layer, sparsities[layer.name], event.sparsity_share, now[layer.name], event.drop_fraction)
        for layer in layers
    }


def rewire(xp: Any, method: Method, layer: Layer, signals: Signals, kept: Any, grown: Any) -> tuple[Any, Any]:
    """(new mask, are the scores that decide something finite).

    Just-dropped entries are candidates to grow; kept ones are not.
    """
    drop = method.drop(xp, layer, replace(signals, role="drop"))
    keep = method.select(xp, drop, kept, signals.mask)
    grow = method.grow(xp, layer, replace(signals, role="grow"))
    new = keep | method.select(xp, grow, grown, ~keep)
    sound = (selection.finite(xp, drop) | (xp.sum(signals.mask) == kept)) & (selection.finite(xp, grow) | (grown == 0))
    return new, sound


def first_masks(
    method: Method, layers: Sequence[Layer], sparsities: Mapping[str, float], weights: Weights, seed: int
) -> Masks:
    """The masks a run starts from, chosen on the host at iteration 0; a dense method has none."""
    if method.dense:
        return {}
    return {
        layer.name: _first_mask(method, layer, sparsities[layer.name], weights[f"{layer.name}.weight"], seed)
        for layer in layers
    }


def _first_mask(method: Method, layer: Layer, sparsity: float, weight: NDArray[np.float32], seed: int) -> Mask:
    everywhere = np.ones(layer.shape, np.bool_)
    count = active(layer.size, method.initial_share * sparsity)
    if count == layer.size:
        return everywhere
    signals = Signals(weight, None, everywhere, host_noise(layer, noise.key(seed, 0, layer.name)))
    return method.select(np, _finite_scores(method, layer, signals), count, everywhere)


def host_noise(layer: Layer, key: noise.Key) -> Callable[[str], Any]:
    """`Signals.noise` in NumPy: drawn on demand, keyed by purpose."""
    return lambda purpose: noise.uniform(np, noise.stream(key, purpose), layer.shape)


def _finite_scores(method: Method, layer: Layer, signals: Signals) -> NDArray[np.float32]:
    scores = method.start(np, layer, signals)
    if not selection.finite(np, scores):
        raise NonFiniteScoreError(layer.name, signals.role)
    return scores
