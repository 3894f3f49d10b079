"""From a method's words to masks: how many connections, then which. The one rule all methods share.

Counts are host integers in float64 arithmetic; the array part is five lines and runs on any `xp`. What a host does
faster, to the same result, is in `rewiring`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise, patterns, selection
from sparsebench.distributions import active
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.method import Event, Method, Signals, each_layer
from sparsebench.patterns import Pattern

Mask = NDArray[np.bool_]
Masks = dict[str, Mask]
Weights = Mapping[str, NDArray[np.float32]]


class Counts(NamedTuple):
    """What one update does to one layer: `kept` of its active entries stay, then `grown` are chosen to join.

    Where layers are ranked together, `kept` holds in sum only; `turnover` is the share of what a layer is then left
    with that is dropped too, and grown again.
    """

    kept: int
    grown: int
    turnover: float = 0.0

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


def planned(method: Method, layer: Layer, sparsity: float) -> int:
    """Active entries of a layer at a sparsity: N − ⌊s·N⌋, or what the method's pattern makes of it."""
    count = active(layer.size, sparsity)
    return method.pattern.fitted(layer, count) if method.pattern else count


def plan(target: int, now: int, drop_fraction: float, beyond: int = 0) -> Counts:
    """Drop what is above the target, then n = trunc(f · what is left), then fill up to the target and beyond it."""
    left = min(now, target)
    kept = left - math.trunc(drop_fraction * left)
    return Counts(kept, target + beyond - kept)


def budget(
    method: Method,
    layers: Sequence[Layer],
    sparsities: Mapping[str, float],
    now: Mapping[str, int],
    event: Event,
    initial: Mapping[str, float] | None = None,
) -> dict[str, Counts]:
    """The plan of every layer for one event; `now` are the active counts before it.

    `initial` is the plan of the first masks (None: dense), `sparsities` that of the last. Where a method ranks layers
    together, or redistributes over them, the plans hold in sum.
    """
    first = initial or {}
    targets = {
        layer.name: planned(method, layer, event.between(first.get(layer.name, 0.0), sparsities[layer.name]))
        for layer in layers
    }
    if method.redistribute:  # from where earlier updates have taken the layer: the sum is the plan's
        return {layer.name: plan(now[layer.name], now[layer.name], event.drop_fraction) for layer in layers}
    if method.rank is not each_layer:
        return _together(layers, targets, now, event)
    return {layer.name: _own(layer, targets[layer.name], now[layer.name], event) for layer in layers}


def _own(layer: Layer, target: int, now: int, event: Event) -> Counts:
    beyond = min(math.trunc(event.overgrowth * target), layer.size - target)
    return plan(target, now, event.drop_fraction, beyond)


def _together(
    layers: Sequence[Layer], targets: Mapping[str, int], now: Mapping[str, int], event: Event
) -> dict[str, Counts]:
    """The sum of the targets is ranked, or, if there are fewer connections, all stay and every layer grows alike."""
    missing = sum(targets.values()) - sum(now[layer.name] for layer in layers)
    if missing <= 0:
        return {name: Counts(target, 0, event.drop_fraction) for name, target in targets.items()}
    rooms = [layer.size - now[layer.name] for layer in layers]
    grown = shared_out(missing, [float(room) for room in rooms], rooms)
    return {
        layer.name: Counts(now[layer.name], more, event.drop_fraction)
        for layer, more in zip(layers, grown, strict=True)
    }


def settled(budget: Mapping[str, Counts], held: Mapping[str, int]) -> dict[str, Counts]:
    """The plan of every layer once it is known how many each of those ranked together is left with."""
    return {name: _settled(counts, held[name]) for name, counts in budget.items()}


def _settled(counts: Counts, held: int) -> Counts:
    moved = math.trunc(counts.turnover * held)
    return Counts(held - moved, counts.grown + moved)


def moved(
    method: Method, layers: Sequence[Layer], budget: Mapping[str, Counts], summaries: Mapping[str, float]
) -> dict[str, Counts]:
    """The budget, with growth shared out over layers if the method redistributes."""
    grown = allotted(method, layers, budget, summaries)
    return {name: Counts(budget[name].kept, count) for name, count in grown.items()}


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


def ranked(
    xp: Any, method: Method, layers: Sequence[Layer], signals: Sequence[Signals], budget: Sequence[Counts]
) -> tuple[list[Any], list[Any]]:
    """Of each layer: (how many it is left with, are its scores finite), for methods that rank layers together."""
    scores = [method.drop(xp, layer, to_drop(xp, method, own)) for layer, own in zip(layers, signals, strict=True)]
    held = method.rank(xp, scores, [own.mask for own in signals], [counts.kept for counts in budget])
    return list(held), [selection.finite(xp, score) for score in scores]


def to_drop(xp: Any, method: Method, signals: Signals) -> Signals:
    """What the drop score looks at: no gradient of inactive connections if the method pays for none."""
    gradient = signals.gradient
    if method.active_gradient and gradient is not None:
        gradient = xp.where(signals.mask, gradient, xp.zeros_like(gradient))
    return replace(signals, role="drop", gradient=gradient)


def to_grow(method: Method, signals: Signals) -> Signals:
    """What the grow score looks at."""
    return replace(signals, role="grow", gradient=None if method.active_gradient else signals.gradient)


def keep(xp: Any, method: Method, layer: Layer, signals: Signals, counts: Counts) -> tuple[Any, Any]:
    """(what stays of the mask, are the scores that decide it finite)."""
    score, among = method.drop(xp, layer, to_drop(xp, method, signals)), signals.mask
    fine = selection.finite(xp, score)
    if not (pattern := method.pattern):
        return method.select(xp, score, counts.kept, among), fine | (xp.sum(among) == counts.kept)
    rooms = _rooms(xp, method, pattern, layer, signals, counts)
    fitting = patterns.fitting(xp, pattern, layer, score, among, among & ~among, rooms)
    return method.select(xp, score, _at_most(xp, counts.kept, xp.sum(fitting)), fitting), fine


def grow(xp: Any, method: Method, layer: Layer, signals: Signals, kept: Any, counts: Counts) -> tuple[Any, Any]:
    """(new mask, are the scores that decide it finite).

    Just-dropped entries are candidates; kept ones are not.
    """
    score = method.grow(xp, layer, to_grow(method, signals))
    fine = selection.finite(xp, score)
    if not (pattern := method.pattern):
        return kept | method.select(xp, score, counts.grown, ~kept), fine | (counts.grown == 0)
    rooms = _rooms(xp, method, pattern, layer, signals, counts)
    fitting = patterns.fitting(xp, pattern, layer, score, ~kept, kept, rooms)
    count = _at_most(xp, counts.active - xp.sum(kept), xp.sum(fitting))
    return kept | method.select(xp, score, count, fitting), fine


def _rooms(xp: Any, method: Method, pattern: Pattern, layer: Layer, signals: Signals, counts: Counts) -> Any:
    """What the pattern allows, judged by what the update would do without it: the same before keeping and growing."""
    plain = replace(method, pattern=None)

    def salient() -> Any:
        kept, _ = keep(xp, plain, layer, signals, counts)
        score = method.grow(xp, layer, to_grow(method, signals))
        return kept | method.select(xp, score, counts.grown, xp.ones_like(kept))

    return pattern.rooms(xp, layer, counts.active, salient)


def _at_most(xp: Any, count: Any, most: Any) -> Any:
    return min(int(count), int(most)) if xp is np else xp.where(most < count, most, count)


def rewire(xp: Any, method: Method, layer: Layer, signals: Signals, kept: Any, grown: Any) -> tuple[Any, Any]:
    """One layer, for itself: (new mask, are the scores that decide something finite)."""
    counts = Counts(kept, grown)
    stays, sound = keep(xp, method, layer, signals, counts)
    new, fine = grow(xp, method, layer, signals, stays, counts)
    return new, sound & fine


def first_masks(
    method: Method, layers: Sequence[Layer], sparsities: Mapping[str, float], weights: Weights, seed: int
) -> Masks:
    """The masks a run starts from, at these sparsities, chosen on the host at iteration 0; a dense method has none."""
    if method.dense:
        return {}
    return {
        layer.name: _first_mask(method, layer, sparsities[layer.name], weights[f"{layer.name}.weight"], seed)
        for layer in layers
    }


def _first_mask(method: Method, layer: Layer, sparsity: float, weight: NDArray[np.float32], seed: int) -> Mask:
    everywhere = np.ones(layer.shape, np.bool_)
    count = planned(method, layer, sparsity)
    if count == layer.size:
        return everywhere
    signals = Signals(weight, None, everywhere, host_noise(layer, noise.key(seed, 0, layer.name)))
    return chosen(method, layer, _finite_scores(method, layer, signals), count)


def chosen(method: Method, layer: Layer, score: NDArray[np.float32], count: int) -> Mask:
    """The best of all entries as a mask that follows the method's pattern, on the host."""
    among = np.ones(layer.shape, np.bool_)
    if method.pattern:
        rooms = method.pattern.rooms(np, layer, count, None)
        among = patterns.fitting(np, method.pattern, layer, score, among, ~among, rooms)
    return method.select(np, score, count, among)


def host_noise(layer: Layer, key: noise.Key) -> Callable[[str], Any]:
    """`Signals.noise` in NumPy: drawn on demand, keyed by purpose."""
    return lambda purpose: noise.uniform(np, noise.stream(key, purpose), layer.shape)


def _finite_scores(method: Method, layer: Layer, signals: Signals) -> NDArray[np.float32]:
    scores = method.start(np, layer, signals)
    if not selection.finite(np, scores):
        raise NonFiniteScoreError(layer.name, signals.role)
    return scores
