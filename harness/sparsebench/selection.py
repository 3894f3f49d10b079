"""Exact top-k as a selection, not a sort: find the k-th key on the float's bits, take what is above, then the
lowest canonical flat indices among equals.

Two ways, one result: on the host, `places` screens blocks that fit the cache; on a device, bisection on the bits
inside the compiled update (no data-dependent shape, no synchronisation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.places import HIGHEST, LOWEST, TINY, Mask, flat, memory_order, select, shaped


def top(xp: Any, score: Any, count: Any, among: Any) -> Any:
    """The `count` highest finite float32 scores among the entries where `among` is true, as a bool mask.

    `score` and `among` share one canonical shape; equal scores go to the lowest canonical flat index.
    `count` must not exceed the true entries of `among`. In NumPy, arrays may be views in another memory order,
    and a score that is not finite is a FloatingPointError; elsewhere ask `finite`.
    """
    return _top_host(score, count, among) if xp is np else _top_device(xp, score, count, among)


def finite(xp: Any, score: Any) -> Any:
    """Whether every entry is finite: a bool on the host, a scalar array on a device."""
    return xp.all(xp.isfinite(score))


def _top_host(score: NDArray[np.float32], count: int, among: Mask) -> Mask:
    order = memory_order(among)
    candidates, scores = flat(among, order), flat(score, order)
    total, chosen = int(np.count_nonzero(candidates)), np.zeros(candidates.size, np.bool_)
    chosen[select(HIGHEST, scores.__getitem__, count, candidates.__getitem__, total, among.shape, order)] = True
    return shaped(chosen, among.shape, order)


def _top_device(xp: Any, score: Any, count: Any, among: Any) -> Any:
    ranked = keys(xp, xp.reshape(score, (-1,)), xp.reshape(among, (-1,)))
    threshold = _bisect(xp, ranked, count)
    above, equal = ranked > threshold, ranked == threshold
    room = count - xp.sum(above, dtype=xp.int32)
    mask = above | (equal & (xp.cumulative_sum(equal, axis=0, dtype=xp.int32) <= room))
    return xp.reshape(mask, score.shape)


def keys(xp: Any, score: Any, among: Any) -> Any:
    """Signed integers in the order of the scores, all |x| < 2⁻¹²⁶ equal; `LOWEST` for what is no candidate."""
    bits = xp.where(xp.abs(score) < TINY, xp.zeros_like(score), score).view(xp.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return xp.where(among, ordered, xp.full_like(ordered, LOWEST))


def _bisect(xp: Any, keys: Any, count: Any) -> Any:
    """The largest threshold with at least `count` keys at or above it, one bit at a time."""
    threshold = xp.full_like(xp.sum(keys, dtype=xp.int32), LOWEST)
    for bit in range(31, -1, -1):
        step = LOWEST if bit == 31 else 1 << bit  # 2³¹ wraps to its own negative
        trial = threshold + step
        threshold = xp.where(xp.sum(keys >= trial, dtype=xp.int32) >= count, trial, threshold)
    return threshold
