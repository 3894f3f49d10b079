"""Patterns of sparsity: which connections of a layer may be active together.

A pattern divides a layer's entries into groups and gives each of them room for so many. An update narrows its
candidates to the best that each group has room for, then selects among them as ever: greedy, and therefore the best
mask that follows the pattern. Groups are rows of a matrix, so nothing here has a shape that depends on the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsebench.layers import Layer
from sparsebench.selection import keys

Salient = Callable[[], Any]
"""() -> bool mask of what an update would keep or grow if there were no pattern."""


class Pattern(Protocol):
    """A pattern as a frozen value. A layer whose every entry is active is outside of it."""

    @property
    def densest(self) -> float:
        """The largest density that every layer can have; of what is not planned dense."""
        ...

    @property
    def exact(self) -> bool:
        """Whether masks have exactly the counts of their plan; else they may have fewer."""
        ...

    def fitted(self, layer: Layer, count: int) -> int:
        """The number of active entries that a layer gets where `count` are planned."""
        ...

    def rooms(self, xp: Any, layer: Layer, active: Any, salient: Salient | None) -> Any:
        """How many entries of each group may be active where `active` are in all: an integer, or (groups, 1).

        `salient` is None where there is nothing to judge by: in a first mask.
        """
        ...

    def grouped(self, xp: Any, layer: Layer, array: Any) -> Any:
        """An array of the layer's canonical shape as (groups, entries); what pads a group is 0."""
        ...

    def joined(self, xp: Any, layer: Layer, groups: Any) -> Any:
        """The inverse of `grouped`."""
        ...

    def holds(self, layer: Layer, mask: NDArray[np.bool_]) -> bool:
        """Whether a mask follows the pattern."""
        ...


@dataclass(frozen=True)
class NM:
    """N:M sparsity: of each `m` consecutive inputs at most `n` are connected, for every output and kernel position.

    Groups run along the input channels of one output and one position of the kernel, as sparse tensor cores want them:
    permuted to (out, height, width, in) and flattened, a kernel has groups of M along the last dimension of a matrix.
    Where M does not divide the inputs, the last group of a row is shorter and is as if padded with zeros.
    Source: Mishra et al., Accelerating Sparse Deep Neural Networks, 2021, arXiv:2104.08378.
    """

    n: int = 2
    m: int = 4

    @property
    def densest(self) -> float:
        """N / M."""
        return self.n / self.m

    @property
    def exact(self) -> bool:
        """Every count up to the capacity can be had."""
        return True

    def fitted(self, layer: Layer, count: int) -> int:
        """The count, or as many as there is room for."""
        return count if count == layer.size else min(count, self.capacity(layer))

    def capacity(self, layer: Layer) -> int:
        """Room in all groups together."""
        if not layer.size:
            return 0
        whole, rest = divmod(layer.shape[1], self.m)
        return layer.size // layer.shape[1] * (whole * self.n + min(rest, self.n))

    def rooms(self, xp: Any, layer: Layer, active: Any, salient: Salient | None) -> Any:
        """N, and M in a dense layer."""
        return self.n + (self.m - self.n) * (active == layer.size)

    def grouped(self, xp: Any, layer: Layer, array: Any) -> Any:
        """Inputs last, padded to whole groups."""
        last = xp.permute_dims(array, (0, *range(2, array.ndim), 1))
        padding = [xp.zeros_like(last[..., :1])] * (-layer.shape[1] % self.m)
        return xp.reshape(xp.concat([last, *padding], axis=-1) if padding else last, (-1, self.m))

    def joined(self, xp: Any, layer: Layer, groups: Any) -> Any:
        """Without the padding, inputs second."""
        inputs, others = layer.shape[1], (layer.shape[0], *layer.shape[2:])
        last = xp.reshape(groups, (*others, inputs + -inputs % self.m))[..., :inputs]
        return xp.permute_dims(last, (0, last.ndim - 1, *range(1, last.ndim - 1)))

    def holds(self, layer: Layer, mask: NDArray[np.bool_]) -> bool:
        """No group has more than N, unless all are active."""
        return bool(mask.all() or (self.grouped(np, layer, mask).sum(axis=-1) <= self.n).all())


@dataclass(frozen=True)
class FanIn:
    """Constant fan-in: every output has as many active inputs, of (in, height, width) together.

    With `salient` γ > 0, an output with fewer than max(1, ⌊γ · k⌋) salient connections is ablated: none of its inputs
    stay, and what they were goes to the others. The classifier's outputs never are.
    Source: Lasby et al., Dynamic Sparse Training with Structured Sparsity, ICLR 2024, arXiv:2305.02299.
    """

    salient: float = 0.0

    @property
    def densest(self) -> float:
        """Any density can be had."""
        return 1.0

    @property
    def exact(self) -> bool:
        """What ablated outputs leave over is shared out in whole connections: a rest stays inactive."""
        return not self.salient

    def fitted(self, layer: Layer, count: int) -> int:
        """k = max(1, ⌊count / outputs⌋) connections for every output."""
        rows = layer.shape[0]
        return max(1, count // rows) * rows if layer.size else 0

    def rooms(self, xp: Any, layer: Layer, active: Any, salient: Salient | None) -> Any:
        """k for every output, or more for those that are left."""
        rows, inputs = max(1, layer.shape[0]), math.prod(layer.shape[1:])
        k = active // rows
        if salient is None or not self.salient or layer.role == "classifier" or not layer.size:
            return k
        counts = xp.sum(self.grouped(xp, layer, salient()), axis=-1, keepdims=True, dtype=xp.int32)
        alive = counts >= self._threshold(xp, counts, active, k, inputs)
        shared = active // xp.sum(alive, dtype=xp.int32)
        return xp.where(alive, xp.where(shared > inputs, inputs, shared), 0)

    def _threshold(self, xp: Any, counts: Any, active: Any, k: Any, inputs: int) -> Any:
        """How many salient connections an output needs; fewer where too few outputs would be left to hold them all."""
        share = Fraction(str(self.salient)).limit_denominator(1000)
        wanted = k * share.numerator // share.denominator
        wanted = wanted + (wanted == 0)
        needed = (active + inputs - 1) // inputs
        place = xp.cumulative_sum(xp.ones_like(counts), axis=0)  # 1 … outputs
        reached = xp.sum(xp.where(place == needed, -xp.sort(-counts, axis=0), 0), dtype=xp.int32)
        return xp.where(reached < wanted, reached, wanted)

    def grouped(self, xp: Any, layer: Layer, array: Any) -> Any:
        """A row for every output."""
        return xp.reshape(array, (layer.shape[0], math.prod(layer.shape[1:])))

    def joined(self, xp: Any, layer: Layer, groups: Any) -> Any:
        """The canonical shape again."""
        return xp.reshape(groups, layer.shape)

    def holds(self, layer: Layer, mask: NDArray[np.bool_]) -> bool:
        """All outputs have as many inputs; with ablation, some may have none."""
        counts = np.unique(self.grouped(np, layer, mask).sum(axis=-1))
        return len(counts[counts > 0] if self.salient else counts) <= 1


def fitting(xp: Any, pattern: Pattern, layer: Layer, score: Any, among: Any, taken: Any, rooms: Any) -> Any:
    """The candidates that fit beside what is taken: in each group the best, as many as there is room for.

    `among` and `taken` are bool masks of the layer's canonical shape, `score` is float32; ties go to the lowest
    canonical index.
    """
    score, among, taken = (pattern.grouped(xp, layer, array) for array in (score, among, taken))
    left = rooms - xp.sum(taken, axis=-1, keepdims=True, dtype=xp.int32)
    return pattern.joined(xp, layer, (_best_on_host if xp is np else _best)(xp, score, left, among))


def _best_on_host(xp: Any, score: NDArray[np.float32], room: Any, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same as `_best`, which is asked only where a group has more candidates than room."""
    chosen = among & (room > 0)
    contested = np.flatnonzero((room > 0) & (room < among.sum(axis=-1, keepdims=True)))
    if contested.size:
        chosen[contested] = _best(xp, score[contested], room[contested], among[contested])
    return chosen


def _best(xp: Any, score: Any, room: Any, among: Any) -> Any:
    """Of each row the `room` best candidates, fewer where there are fewer: (rows, entries) and (rows, 1)."""
    ranked = keys(xp, score, among)
    place = xp.cumulative_sum(xp.ones_like(ranked), axis=-1)  # 1 … entries
    last = ranked.shape[-1] + 1 - room  # the place, in ascending order, of the last that there is room for
    last = xp.where(last < 1, 1, last)
    threshold = xp.sum(xp.where(place == last, xp.sort(ranked, axis=-1), 0), axis=-1, keepdims=True, dtype=xp.int32)
    above, equal = ranked > threshold, ranked == threshold
    free = room - xp.sum(above, axis=-1, keepdims=True, dtype=xp.int32)
    tied = equal & (xp.cumulative_sum(equal, axis=-1, dtype=xp.int32) <= free)
    return (above | tied) & among & (room > 0)
