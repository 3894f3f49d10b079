"""Mask updates in NumPy, layers side by side in threads: the rule of `masks.rewire`, told by the places that change.

A `Local` score is made and forgotten in blocks that fit the cache; any other is made for the layer as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise, places
from sparsebench.environment import threads
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, Mask, grow, host_noise, keep, moved, settled, to_drop, to_grow
from sparsebench.method import Event, Local, Method, Score, Signals, Summary, each_layer
from sparsebench.places import HIGHEST, REST, Order, Places, flat, memory_order, select, shaped
from sparsebench.selection import finite, top

Array = NDArray[np.float32]
Part = TypeVar("Part")
Done = TypeVar("Done")


@dataclass(frozen=True, eq=False)
class Rewired:
    """A layer's new mask, in the shape and memory order of the old, and the places in memory where they differ.

    `values` are what the grown connections start at, in the order of `grown`; None: 0.
    """

    mask: Mask
    dropped: Places
    grown: Places
    active: int
    values: NDArray[np.float32] | None = None

    @property
    def spread(self) -> NDArray[np.float32]:
        """The values at their places, in the mask's shape; 0 elsewhere."""
        spread = np.zeros(self.mask.size, np.float32)
        spread[self.grown] = 0 if self.values is None else self.values
        return shaped(spread, self.mask.shape, memory_order(self.mask))

    @property
    def change(self) -> Change:
        """The same, as counts."""
        return Change(self.active, self.grown.size, self.dropped.size)


def host_signals(
    layer: Layer, seed: int, event: Event, weight: Array, mask: Mask, gradient: Array | None = None,
    aux: Array | None = None,
) -> Signals:  # fmt: skip
    """What a method may see of one layer in an update on the host: arrays of canonical shape, in any memory order.

    The weights and gradients of other types than float32 are converted by the caller. Only `mask` decides what is
    active; the gradient, None where the method needs none, is dense: it is cut where the method may not see it.
    """
    drawn = host_noise(layer, noise.key(seed, event.iteration, layer.name))
    return Signals(weight, gradient, mask, drawn, aux=aux)


def rewire_layers(
    method: Method, layers: Iterable[tuple[Layer, Signals]], budget: Mapping[str, Counts]
) -> list[Rewired]:
    """The new mask of each layer, as many at a time as there are cores.

    Raises:
        NonFiniteScoreError: a score is NaN or infinite; names the first such layer.
    """
    parts = list(layers)
    sizes, budget = [layer.size for layer, _ in parts], _settled(method, parts, budget)

    def drop(part: tuple[tuple[Layer, Signals], Mask]) -> _Thinned:
        (layer, signals), room = part
        return _drop(method, layer, signals, budget[layer.name], room)

    begun = list(zip(parts, _rooms(sizes), strict=True))
    if not method.redistribute:
        return side_by_side(lambda part: _grow(method, drop(part), budget), begun, sizes)
    thinned = side_by_side(drop, begun, sizes)
    summaries = {one.layer.name: _summary(method.redistribute, one) for one in thinned}
    shared = moved(method, [one.layer for one in thinned], budget, summaries)
    return side_by_side(lambda one: _grow(method, one, shared), thinned, sizes)


def _rooms(sizes: Sequence[int]) -> list[Mask]:
    """Memory for new masks, in one piece: the system then hands out large pages, which costs far less."""
    return np.split(np.empty(sum(sizes), np.bool_), np.cumsum(sizes[:-1])) if sizes else []


def _settled(
    method: Method, parts: Sequence[tuple[Layer, Signals]], budget: Mapping[str, Counts]
) -> Mapping[str, Counts]:
    """The budget, with what each layer keeps where layers are ranked together."""
    if method.rank is each_layer:
        return budget
    scores = side_by_side(lambda part: _drop_scores(method, *part), parts, [layer.size for layer, _ in parts])
    held = method.rank(
        np, scores, [signals.mask for _, signals in parts], [budget[layer.name].kept for layer, _ in parts]
    )
    return settled(budget, {layer.name: int(count) for (layer, _), count in zip(parts, held, strict=True)})


def _drop_scores(method: Method, layer: Layer, signals: Signals) -> NDArray[np.float32]:
    with _naming(layer, "drop"):
        return _finite(method.drop(np, layer, to_drop(np, method, signals)))


def _summary(summary: Summary, thinned: _Thinned) -> float:
    """A layer's number, from float64: sums then hardly depend on the order of memory."""
    signals, mask = thinned.signals, shaped(thinned.stays, thinned.layer.shape, thinned.order)
    exact = replace(signals, mask=mask, aux=None if signals.aux is None else signals.aux.astype(np.float64))
    return float(summary(np, thinned.layer, exact))


def side_by_side(function: Callable[[Part], Done], parts: Sequence[Part], sizes: Sequence[int]) -> list[Done]:
    """`function` of each part, in as many threads as there are cores; the error of the first bad part is raised.

    The largest parts begin, so that no thread is left alone with one at the end.
    """
    with ThreadPoolExecutor(threads()) as pool:
        begun = {i: pool.submit(function, parts[i]) for i in sorted(range(len(parts)), key=lambda i: -sizes[i])}
        return [begun[i].result() for i in range(len(parts))]


def rewire_on_host(method: Method, layer: Layer, signals: Signals, counts: Counts) -> Rewired:
    """One layer; a score that decides nothing is skipped. Arrays may be views in any memory order.

    Raises:
        NonFiniteScoreError: a score that decides something has a NaN or infinite entry.
    """
    room = np.empty(layer.size, np.bool_)
    return _grow(method, _drop(method, layer, signals, counts, room), {layer.name: counts})


@dataclass(frozen=True, eq=False)
class _Thinned:
    """A layer after its drop: `old` and `stays` are masks, flat in memory order."""

    layer: Layer
    signals: Signals
    order: Order
    old: Mask
    stays: Mask
    dropped: Places


def _drop(method: Method, layer: Layer, signals: Signals, counts: Counts, stays: Mask) -> _Thinned:
    order = memory_order(signals.mask)
    old = flat(signals.mask, order)
    stays[:] = old
    with _naming(layer, "drop"):
        dropped = _dropped(method, layer, to_drop(np, method, signals), counts, old, order)
    stays[dropped] = False
    return _Thinned(layer, signals, order, old, stays, dropped)


def _grow(method: Method, thinned: _Thinned, budget: Mapping[str, Counts]) -> Rewired:
    layer, order, counts = thinned.layer, thinned.order, budget[thinned.layer.name]
    signals = to_grow(method, thinned.signals)
    new = thinned.stays  # whoever wanted to see what stays has seen it
    with _naming(layer, "grow"):
        grown = _grown(method, layer, signals, counts, new, order)
    new[grown] = True
    dropped, grown = thinned.dropped[~new[thinned.dropped]], grown[~thinned.old[grown]]
    values = None if method.value is None else flat(method.value(np, layer, signals), order)[grown]
    return Rewired(shaped(new, layer.shape, order), dropped, grown, int(np.count_nonzero(new)), values)


@contextmanager
def _naming(layer: Layer, role: str) -> Generator[None, None, None]:
    try:
        yield
    except FloatingPointError as error:
        raise NonFiniteScoreError(layer.name, role) from error


def _dropped(method: Method, layer: Layer, signals: Signals, counts: Counts, old: Mask, order: Order) -> Places:
    """Active places that are not among the `kept` best."""
    total = int(np.count_nonzero(old))
    if method.pattern:
        return np.flatnonzero(old & ~flat(_sound(keep(np, method, layer, signals, counts)), order))
    if method.select is top:
        scores = _scores(method.drop, layer, signals, order)
        return select(REST, scores, total - counts.kept, old.__getitem__, total, layer.shape, order)
    if total == counts.kept:
        return np.empty(0, np.intp)
    stays = method.select(np, _finite(method.drop(np, layer, signals)), counts.kept, signals.mask)
    return np.flatnonzero(old & ~flat(stays, order))


def _grown(method: Method, layer: Layer, signals: Signals, counts: Counts, taken: Mask, order: Order) -> Places:
    """The `grown` best of the places that are not taken."""
    if method.pattern:
        stays = shaped(taken, layer.shape, order)
        return np.flatnonzero(~taken & flat(_sound(grow(np, method, layer, signals, stays, counts)), order))
    if method.select is top:
        scores, free = _scores(method.grow, layer, signals, order), layer.size - int(np.count_nonzero(taken))
        return select(HIGHEST, scores, counts.grown, lambda part: ~taken[part], free, layer.shape, order)
    if not counts.grown:
        return np.empty(0, np.intp)
    entries = shaped(~taken, layer.shape, order)
    chosen = method.select(np, _finite(method.grow(np, layer, signals)), counts.grown, entries)
    return np.flatnonzero(flat(chosen, order))


def _sound(done: tuple[Mask, bool]) -> Mask:
    mask, finite = done
    if not finite:
        raise FloatingPointError("a score is not finite")
    return mask


def _scores(score: Score, layer: Layer, signals: Signals, order: Order) -> places.Score:
    """The scores of any part of a layer."""
    if not isinstance(score, Local):
        return flat(score(np, layer, signals), order).__getitem__
    weight, mask = flat(signals.weight, order), flat(signals.mask, order)
    gradient = None if signals.gradient is None else flat(signals.gradient, order)
    aux = None if signals.aux is None else flat(signals.aux, order)

    @cache
    def noise(purpose: str) -> NDArray[np.float32]:
        return flat(signals.noise(purpose), order)

    def part(at: slice) -> NDArray[np.float32]:
        slope = None if gradient is None else gradient[at]
        seen = None if aux is None else aux[at]
        return score(
            np, layer, Signals(weight[at], slope, mask[at], lambda purpose: noise(purpose)[at], signals.role, seen)
        )

    return part


def _finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if not finite(np, scores):
        raise FloatingPointError("a score is not finite")
    return scores
