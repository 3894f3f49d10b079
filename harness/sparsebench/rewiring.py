"""Mask updates in NumPy, layers side by side in threads: the rule of `masks.rewire`, told by the places that change.

A `Local` score is made and forgotten in blocks that fit the cache; any other is made for the layer as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsebench import places
from sparsebench.environment import threads
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, Mask
from sparsebench.method import Local, Method, Score, Signals
from sparsebench.places import HIGHEST, REST, Order, Places, flat, memory_order, select, shaped
from sparsebench.selection import finite, top

Part = TypeVar("Part")
Done = TypeVar("Done")


@dataclass(frozen=True, eq=False)
class Rewired:
    """A layer's new mask, in the shape and memory order of the old, and the places in memory where they differ."""

    mask: Mask
    dropped: Places
    grown: Places
    active: int

    @property
    def change(self) -> Change:
        """The same, as counts."""
        return Change(self.active, self.grown.size, self.dropped.size)


def rewire_layers(
    method: Method, layers: Iterable[tuple[Layer, Signals]], budget: Mapping[str, Counts]
) -> list[Rewired]:
    """`rewire_on_host` for each layer, as many at a time as there are cores.

    Raises:
        NonFiniteScoreError: a score is NaN or infinite; names the first such layer.
    """
    return side_by_side(lambda part: rewire_on_host(method, *part, budget[part[0].name]), layers)


def side_by_side(function: Callable[[Part], Done], parts: Iterable[Part]) -> list[Done]:
    """`function` of each part, in as many threads as there are cores; the first error is raised."""
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(function, parts))


def rewire_on_host(method: Method, layer: Layer, signals: Signals, counts: Counts) -> Rewired:
    """One layer; a score that decides nothing is skipped. Arrays may be views in any memory order.

    Raises:
        NonFiniteScoreError: a score that decides something has a NaN or infinite entry.
    """
    order = memory_order(signals.mask)
    old = flat(signals.mask, order)
    new = old.copy()
    with _naming(layer, "drop"):
        dropped = _dropped(method, layer, replace(signals, role="drop"), counts.kept, old, order)
    new[dropped] = False
    with _naming(layer, "grow"):
        grown = _grown(method, layer, replace(signals, role="grow"), counts.grown, ~new, order)
    new[grown] = True
    return Rewired(shaped(new, layer.shape, order), dropped[~new[dropped]], grown[~old[grown]], counts.active)


@contextmanager
def _naming(layer: Layer, role: str) -> Generator[None, None, None]:
    try:
        yield
    except FloatingPointError as error:
        raise NonFiniteScoreError(layer.name, role) from error


def _dropped(method: Method, layer: Layer, signals: Signals, kept: int, old: Mask, order: Order) -> Places:
    """Active places that are not among the `kept` best."""
    lost = int(np.count_nonzero(old)) - kept
    if not lost:
        return np.empty(0, np.intp)
    if method.select is top:
        return select(REST, _scores(method.drop, layer, signals, order), lost, old, layer.shape, order)
    keep = method.select(np, _finite(method.drop(np, layer, signals)), kept, signals.mask)
    return np.flatnonzero(old & ~flat(keep, order))


def _grown(method: Method, layer: Layer, signals: Signals, count: int, free: Mask, order: Order) -> Places:
    """The `count` best of the places that are free."""
    if not count:
        return np.empty(0, np.intp)
    if method.select is top:
        return select(HIGHEST, _scores(method.grow, layer, signals, order), count, free, layer.shape, order)
    chosen = method.select(np, _finite(method.grow(np, layer, signals)), count, shaped(free, layer.shape, order))
    return np.flatnonzero(flat(chosen, order))


def _scores(score: Score, layer: Layer, signals: Signals, order: Order) -> places.Score:
    """The scores of any part of a layer."""
    if not isinstance(score, Local):
        return flat(score(np, layer, signals), order).__getitem__
    weight, mask = flat(signals.weight, order), flat(signals.mask, order)
    gradient = None if signals.gradient is None else flat(signals.gradient, order)

    @cache
    def noise(purpose: str) -> NDArray[np.float32]:
        return flat(signals.noise(purpose), order)

    def part(at: slice | Places) -> NDArray[np.float32]:
        slope = None if gradient is None else gradient[at]
        return score(np, layer, Signals(weight[at], slope, mask[at], lambda purpose: noise(purpose)[at], signals.role))

    return part


def _finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if not finite(np, scores):
        raise FloatingPointError("a score is not finite")
    return scores
