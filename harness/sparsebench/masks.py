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
from sparsebench.method import Event, Method, Signals, each_layer

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


def plan(
    layer: Layer, sparsity: float, share: float, now: int, drop_fraction: float, overgrowth: float = 0.0
) -> Counts:
    """Drop n = trunc(f · active) entries, or more if fewer may stay, then fill up to M = N − ⌊share·s·N⌋.

    And beyond it by trunc(overgrowth · M) entries, as far as there is room.
    """
    target = active(layer.size, share * sparsity)
    kept = min(now - math.trunc(drop_fraction * now), target)
    filled = min(target + math.trunc(overgrowth * target), layer.size)
    return Counts(kept, filled - kept)


def budget(
    method: Method, layers: Sequence[Layer], sparsities: Mapping[str, float], now: Mapping[str, int], event: Event
) -> dict[str, Counts]:
    """The plan of every layer for one event; `now` are the active counts before it.

    Where a method ranks layers together, or redistributes over them, the plans hold in sum.
    """
    return {
        layer.name: _layer_budget(method, layer, sparsities[layer.name], now[layer.name], event) for layer in layers
    }


def _layer_budget(method: Method, layer: Layer, sparsity: float, now: int, event: Event) -> Counts:
    if method.redistribute:  # from where earlier updates have taken the layer: the sum is the plan's
        dropped = math.trunc(event.drop_fraction * now)
        return Counts(now - dropped, dropped)
    if method.rank is not each_layer:
        return Counts(active(layer.size, event.sparsity_share * sparsity), 0)
    return plan(layer, sparsity, event.sparsity_share, now, event.drop_fraction, event.overgrowth)


def allotted(
    method: Method, layers: Sequence[Layer], budget: Mapping[str, Counts], summaries: Mapping[str, float]
) -> dict[str, int]:
    """How many each layer grows: as planned, or the sum of the plans in proportion to the summaries."""
    if not method.redistribute:
        return {layer.name: budget[layer.name].grown for layer in layers}
    total = sum(budget[layer.name].grown for layer in layers)
    rooms = [layer.size - budget[layer.name].kept for layer in layers]
    shares = shared_out(total, [float(summaries[layer.name]) for layer in layers], rooms)
    return {layer.name: share for layer, share in zip(layers, shares, strict=True)}


def shared_out(total: int, weights: Sequence[float], rooms: Sequence[int]) -> list[int]:
    """`total` in proportion to the weights and at most the room of each, in whole numbers; all weights 0: by room.

    What does not fit one is shared out over the others again; remainders go to the largest fractions, the first of
    equals. `total` must not exceed the sum of the rooms.
    """
    shares, full = [0.0] * len(rooms), set[int]()
    while left := total - sum(rooms[k] for k in full):
        others = [k for k in range(len(rooms)) if k not in full]
        by = weights if sum(weights[k] for k in others) > 0 else rooms
        whole = sum(by[k] for k in others)
        shares = [float(rooms[k]) if k in full else left * (by[k] / whole) for k in range(len(rooms))]
        over = {k for k in others if shares[k] > rooms[k]}
        if not over:
            break
        full |= over
    else:
        shares = [float(rooms[k]) if k in full else 0.0 for k in range(len(rooms))]
    return _whole(shares, total, rooms)


def _whole(shares: Sequence[float], total: int, rooms: Sequence[int]) -> list[int]:
    counts = [math.floor(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda k: (counts[k] - shares[k], k))
    while short := total - sum(counts):
        for k in [k for k in order if counts[k] < rooms[k]][:short]:
            counts[k] += 1
    return counts


def keep(
    xp: Any, method: Method, layers: Sequence[Layer], signals: Sequence[Signals], counts: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Of each layer: (what stays of its mask, are the scores that decide it finite)."""
    scores = [method.drop(xp, layer, to_drop(xp, method, own)) for layer, own in zip(layers, signals, strict=True)]
    masks = [own.mask for own in signals]
    kept = method.rank(xp, scores, masks, counts)
    chosen = list(zip(scores, kept, masks, strict=True))
    sound = [_sound(xp, method, score, count, mask) for score, count, mask in chosen]
    return [method.select(xp, score, count, mask) for score, count, mask in chosen], sound


def to_drop(xp: Any, method: Method, signals: Signals) -> Signals:
    """What the drop score looks at: no gradient of inactive connections if the method pays for none."""
    gradient = signals.gradient
    if method.active_gradient and gradient is not None:
        gradient = xp.where(signals.mask, gradient, xp.zeros_like(gradient))
    return replace(signals, role="drop", gradient=gradient)


def to_grow(method: Method, signals: Signals) -> Signals:
    """What the grow score looks at."""
    return replace(signals, role="grow", gradient=None if method.active_gradient else signals.gradient)


def _sound(xp: Any, method: Method, score: Any, count: Any, mask: Any) -> Any:
    """Whether scores are finite, or decide nothing; layers that are ranked together all decide."""
    fine = selection.finite(xp, score)
    return fine | (xp.sum(mask) == count) if method.rank is each_layer else fine


def grow(xp: Any, method: Method, layer: Layer, signals: Signals, kept: Any, count: Any) -> tuple[Any, Any]:
    """(new mask, are the scores that decide it finite).

    Just-dropped entries are candidates; kept ones are not.
    """
    score = method.grow(xp, layer, to_grow(method, signals))
    return kept | method.select(xp, score, count, ~kept), selection.finite(xp, score) | (count == 0)


def rewire(xp: Any, method: Method, layer: Layer, signals: Signals, kept: Any, grown: Any) -> tuple[Any, Any]:
    """One layer, for itself: (new mask, are the scores that decide something finite)."""
    (stays,), (sound,) = keep(xp, method, [layer], [signals], [kept])
    new, fine = grow(xp, method, layer, signals, stays, grown)
    return new, sound & fine


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
