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
Places = NDArray[np.intp]

TINY = 2.0**-126
"""Magnitudes below the smallest normal float32 count as 0: XLA on CPU flushes them."""
LOWEST = -(2**31)
ZERO = 0x007FFFFF  # the bits below those of the smallest normal float32: they all rank as 0
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
    """Works in the memory order of `among`, so that a transposed view (a Flax kernel) is never copied.

    Full passes are few and vectorised; all else happens on the pool, the few entries that can be chosen.
    """
    order = memory_order(among)
    candidates = _flat(among, order)
    bits = _flat(score, order).view(np.int32)
    zero = ZERO
    if bits.size and bits.min() < 0:  # a sign bit somewhere: neither magnitudes nor noise, the usual scores
        bits, zero = _ordered(bits.view(np.float32)), LOWEST
    pool = _pool(bits, count, candidates, zero)
    chosen = np.zeros(candidates.size, np.bool_)
    chosen[pool[_choose(np.maximum(bits[pool], zero), count, pool, among.shape, order)]] = True
    stored = chosen.reshape([among.shape[axis] for axis in order])
    return stored.transpose(np.argsort(order))


def memory_order(array: NDArray[Any]) -> tuple[int, ...]:
    """Axes from the slowest to the fastest in memory; the identity for C order."""
    return tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def _flat(array: NDArray[Any], order: tuple[int, ...]) -> NDArray[Any]:
    return array.transpose(order).reshape(-1)


def _ordered(score: NDArray[np.float32]) -> Bits:
    """Signed integers in the order of the scores; all |x| < 2⁻¹²⁶ are 0."""
    bits = np.where(np.abs(score) < TINY, np.float32(0), score).view(np.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _pool(bits: Bits, count: int, candidates: Mask, zero: int) -> Places:
    """Ascending places of candidates that are sure to hold the `count` highest keys, and usually little else.

    A sample puts a floor just below the `count`-th key; where it missed, or most entries are no candidates
    anyway, the pool is all candidates.
    """
    eligible = int(np.count_nonzero(candidates))
    if eligible * 2 > candidates.size:
        stride = max(1, bits.size // SAMPLE)
        floor = _floor(np.maximum(bits[::stride][candidates[::stride]], zero), count / eligible)
        if floor > zero:
            reaching = np.flatnonzero(bits >= floor)
            reaching = reaching[candidates[reaching]]
            if reaching.size >= count:
                return reaching
    return np.flatnonzero(candidates)


def _floor(sample: Bits, share: float) -> int:
    """A key that more than `share` of all keys reach, four standard errors on the safe side; LOWEST if unsure."""
    if not sample.size:
        return LOWEST
    slack = 4 * (share * (1 - share) / sample.size) ** 0.5 + 2 / sample.size
    rank = int((share + slack) * sample.size)
    return int(np.sort(sample)[-1 - rank]) if rank < sample.size else LOWEST


def _choose(keys: Bits, count: int, pool: Places, shape: tuple[int, ...], order: tuple[int, ...]) -> Mask:
    """Mask over the pool of the `count` highest keys."""
    if count == 0:
        return np.zeros(keys.size, np.bool_)
    threshold, reached, above = _kth_largest(keys, count)
    if reached == count:
        return keys >= threshold
    chosen = keys > threshold
    ties = np.flatnonzero(keys == threshold)
    chosen[_lowest(ties, count - above, pool, shape, order)] = True
    return chosen


def _lowest(ties: Places, room: int, pool: Places, shape: tuple[int, ...], order: tuple[int, ...]) -> Places:
    """The `room` ties with the lowest canonical flat index."""
    if order == tuple(range(len(order))):
        return ties[:room]
    stored = np.unravel_index(pool[ties], [shape[axis] for axis in order])
    canonical = np.ravel_multi_index([stored[order.index(axis)] for axis in range(len(shape))], shape)
    return ties[np.argsort(canonical)[:room]]


def _kth_largest(keys: Bits, count: int) -> tuple[int, int, int]:
    """(the `count`-th largest key, how many keys reach it, how many exceed it)."""
    floor = max(_floor(keys[:: max(1, keys.size // SAMPLE)], count / keys.size), int(keys.min()))
    above = keys[keys > floor]
    if above.size >= count:
        return _kth_by_bits(above, count)
    reached = int(np.count_nonzero(keys >= floor))
    if reached >= count:
        return floor, reached, above.size
    return _kth_by_bits(keys, count)


def _kth_by_bits(keys: Bits, count: int) -> tuple[int, int, int]:
    """Exact, whatever the ties: a histogram of the upper 16 bits, then one of the lower 16 in the bucket hit."""
    upper = keys >> 16
    base = int(upper.min())
    bucket, above = _bucket(np.bincount(upper - base), count)
    histogram = np.bincount(keys[upper == bucket + base] & 0xFFFF)
    low, inside = _bucket(histogram, count - above)
    exceeding = above + inside
    return ((bucket + base) << 16) + low, exceeding + int(histogram[low]), exceeding


def _bucket(histogram: Places, count: int) -> tuple[int, int]:
    """The bucket that holds the `count`-th largest, and how many lie in higher ones."""
    reaching = np.cumsum(histogram[::-1])
    place = int(np.searchsorted(reaching, count))
    bucket = histogram.size - 1 - place
    return bucket, int(reaching[place] - histogram[bucket])
