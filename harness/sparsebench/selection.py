"""Exact top-k as a selection, not a sort: find the k-th key on the float's bits, take what is above, then the
lowest canonical flat indices among equals.

Two ways, one result: on the host a sample brackets the k-th key and a histogram of the bits finds it; on a
device, bisection on the bits inside the compiled update (no data-dependent shape, no synchronisation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.int32]
Mask = NDArray[np.bool_]

TINY = 2.0**-126
"""Magnitudes below the smallest normal float32 count as 0: XLA on CPU flushes them."""
LOWEST = -(2**31)
SAMPLE = 8192


def top(xp: Any, score: Any, count: Any, among: Any) -> Any:
    """The `count` highest finite float32 scores among the entries where `among` is true, as a bool mask.

    `score` and `among` share one canonical shape; equal scores go to the lowest canonical flat index.
    `count` must not exceed the true entries of `among`. In NumPy, arrays may be views in another memory order.
    """
    return _top_host(score, count, among) if xp is np else _top_device(xp, score, count, among)


def finite(xp: Any, score: Any) -> Any:
    """Whether every entry is finite: a bool on the host, a scalar array on a device."""
    return xp.all(xp.isfinite(score))


# ---- on a device ----------------------------------------------------------------------------------------------


def _top_device(xp: Any, score: Any, count: Any, among: Any) -> Any:
    flat = xp.reshape(score, (-1,))
    bits = xp.where(xp.abs(flat) < TINY, xp.zeros_like(flat), flat).view(xp.int32)
    keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # signed integers in the order of the floats
    keys = xp.where(xp.reshape(among, (-1,)), keys, xp.full_like(keys, LOWEST))
    threshold = _bisect(xp, keys, count)
    above, equal = keys > threshold, keys == threshold
    room = count - xp.sum(above, dtype=xp.int32)
    mask = above | (equal & (xp.cumulative_sum(equal, axis=0, dtype=xp.int32) <= room))
    return xp.reshape(mask, score.shape)


def _bisect(xp: Any, keys: Any, count: Any) -> Any:
    """The largest threshold with at least `count` keys at or above it, one bit at a time."""
    threshold = xp.full_like(xp.sum(keys, dtype=xp.int32), LOWEST)
    for bit in range(31, -1, -1):
        step = LOWEST if bit == 31 else 1 << bit  # 2³¹ wraps to its own negative
        trial = threshold + step
        threshold = xp.where(xp.sum(keys >= trial, dtype=xp.int32) >= count, trial, threshold)
    return threshold


# ---- on the host ----------------------------------------------------------------------------------------------


def _top_host(score: NDArray[np.float32], count: int, among: Mask) -> Mask:
    """Works in the memory order of `among`, so that a transposed view (a Flax kernel) is never copied."""
    order = memory_order(among)
    candidates = _flat(among, order)
    keys = _keys(_flat(score, order))
    eligible = int(np.count_nonzero(candidates))
    if eligible * 2 < candidates.size:
        where = np.flatnonzero(candidates)
        chosen = np.zeros(candidates.size, np.bool_)
        chosen[where[_choose(keys[where], count, where, among.shape, order)]] = True
    else:
        keys[~candidates] = LOWEST
        chosen = _choose(keys, count, None, among.shape, order)
    stored = chosen.reshape([among.shape[axis] for axis in order])
    return stored.transpose(np.argsort(order))


def memory_order(array: NDArray[Any]) -> tuple[int, ...]:
    """Axes from the slowest to the fastest in memory; the identity for C order."""
    return tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def _flat(array: NDArray[Any], order: tuple[int, ...]) -> NDArray[Any]:
    return array.transpose(order).reshape(-1)


def _keys(score: NDArray[np.float32]) -> Bits:
    """Int32 keys in the order of the scores, all |x| < 2⁻¹²⁶ equal; a fresh array."""
    bits = score.view(np.int32)
    if bits.size and bits.min() >= 0:  # no sign bit anywhere: magnitudes and noise, the usual case
        return np.maximum(bits, np.int32(0x007FFFFF))
    bits = np.where(np.abs(score) < TINY, np.float32(0), score).view(np.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _choose(
    keys: Bits, count: int, where: NDArray[np.intp] | None, shape: tuple[int, ...], order: tuple[int, ...]
) -> Mask:
    """Mask over `keys` of the `count` highest; `where` are their places in memory (all, in order, if None)."""
    if count == 0:
        return np.zeros(keys.size, np.bool_)
    threshold, reached, above = _kth_largest(keys, count)
    if reached == count:
        return keys >= threshold
    chosen = keys > threshold
    ties = np.flatnonzero(keys == threshold)
    chosen[_lowest(ties, count - above, where, shape, order)] = True
    return chosen


def _lowest(
    ties: NDArray[np.intp],
    room: int,
    where: NDArray[np.intp] | None,
    shape: tuple[int, ...],
    order: tuple[int, ...],
) -> NDArray[np.intp]:
    """The `room` ties with the lowest canonical flat index."""
    if order == tuple(range(len(order))):
        return ties[:room]
    places = ties if where is None else where[ties]
    stored = np.unravel_index(places, [shape[axis] for axis in order])
    canonical = np.ravel_multi_index([stored[order.index(axis)] for axis in range(len(shape))], shape)
    return ties[np.argsort(canonical)[:room]]


def _kth_largest(keys: Bits, count: int) -> tuple[int, int, int]:
    """(the `count`-th largest key, how many keys reach it, how many exceed it)."""
    pool, floor = _bracket(keys, count)
    above = pool[pool > floor]
    if above.size < count:
        return floor, pool.size, above.size
    return _kth_by_bits(above, count)


def _bracket(keys: Bits, count: int) -> tuple[Bits, int]:
    """Keys at or above a floor that a sample puts just below the `count`-th largest; all keys if it missed."""
    sample = np.sort(keys[:: max(1, keys.size // SAMPLE)])
    share = count / keys.size
    slack = 4 * (share * (1 - share) / sample.size) ** 0.5 + 2 / sample.size
    rank = int((share + slack) * sample.size)
    if rank < sample.size:
        floor = int(sample[sample.size - 1 - rank])
        pool = keys[keys >= floor]
        if pool.size >= count:
            return pool, floor
    return keys, int(keys.min())


def _kth_by_bits(keys: Bits, count: int) -> tuple[int, int, int]:
    """Exact, whatever the ties: a histogram of the upper 16 bits, then one of the lower 16 in the bucket hit."""
    upper = keys >> 16
    base = int(upper.min())
    bucket, above = _bucket(np.bincount(upper - base), count)
    lower = keys[upper == bucket + base] & 0xFFFF
    histogram = np.bincount(lower)
    low, inside = _bucket(histogram, count - above)
    exceeding = above + inside
    return ((bucket + base) << 16) + low, exceeding + int(histogram[low]), exceeding


def _bucket(histogram: NDArray[np.intp], count: int) -> tuple[int, int]:
    """The bucket that holds the `count`-th largest, and how many lie in higher ones."""
    reaching = np.cumsum(histogram[::-1])
    place = int(np.searchsorted(reaching, count))
    return histogram.size - 1 - place, int(reaching[place] - histogram[histogram.size - 1 - place])
