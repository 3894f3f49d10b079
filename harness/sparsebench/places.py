"""Exact top-k on the host, by places instead of masks: full passes are few, and stay in the cache.

A layer's entries are numbered by their place in memory, so that a transposed view (a Flax kernel) is never copied;
only ties need their canonical index. Entries are scored a block at a time and screened by a floor that a sample puts
just below the k-th key; the few that pass are selected exactly, whatever the sample said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int32]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Order = tuple[int, ...]
Score = Callable[[slice], NDArray[np.float32]]
"""Scores of a part of the entries."""
Candidates = Callable[[slice], Mask]
"""Which entries of a part can be chosen."""

TINY = 2.0**-126
"""Magnitudes below the smallest normal float32 count as 0: XLA on CPU flushes them."""
LOWEST = -(2**31)
ZERO = 0x007FFFFF  # the bits below those of the smallest normal float32: they all rank as 0
INFINITY = 0x7F800000
SAMPLE = 4096
FEW = 1 << 16  # keys for which sorting beats two histograms
BLOCK = 1 << 18


def memory_order(array: NDArray[Any]) -> Order:
    """Axes from the slowest to the fastest in memory; the identity for C order."""
    return tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))


def flat(array: NDArray[Any], order: Order) -> NDArray[Any]:
    """The entries by place: a view where the array lies in that order."""
    return array.transpose(order).reshape(-1)


def shaped(entries: NDArray[Any], shape: tuple[int, ...], order: Order) -> NDArray[Any]:
    """The inverse of `flat`: a view in canonical shape."""
    return entries.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


@dataclass(frozen=True)
class End:
    """Which end of the order is wanted.

    `rank` makes it the high one; `reaches` says which raw keys have a rank or a higher one, all that counts as 0
    alike; `take` picks among ties in canonical order.
    """

    rank: Callable[[Keys], Keys]
    reaches: Callable[[Keys, int], Mask]
    take: Callable[[Places, int], Places]


HIGHEST = End(
    rank=lambda keys: keys,
    reaches=lambda keys, rank: keys >= (~ZERO if rank == ZERO else rank),
    take=lambda ties, room: ties[:room],
)
REST = End(
    rank=np.invert,
    reaches=lambda keys, rank: keys <= ~rank,
    take=lambda ties, room: ties[ties.size - room :],
)
"""What HIGHEST leaves over: the lowest scores, and of equal ones the last."""


def select(
    end: End, score: Score, count: int, among: Candidates, total: int, shape: tuple[int, ...], order: Order
) -> Places:
    """Places of the `count` candidates, of `total`, at one end of the order of the scores; ascending.

    Raises:
        FloatingPointError: the score of an entry, candidate or not, is not finite.
    """
    if not count:
        return np.empty(0, np.intp)
    size = math.prod(shape)
    sample = slice(0, size, max(1, size // SAMPLE))
    floor, _ = _bracket(end.rank(_lifted(_raw(score(sample))[among(sample)])), count / total)
    places, keys = _reaching(end, score, among, size, floor)
    if keys.size < count:
        places, keys = _reaching(end, score, among, size, LOWEST)
    return places.compress(_choose(end, keys, count, places, shape, order))


def _reaching(end: End, score: Score, among: Candidates, size: int, floor: int) -> tuple[Places, Keys]:
    """Places and keys of the candidates whose key reaches the floor."""
    blocks = [_block(end, score, among, floor, slice(i, min(i + BLOCK, size))) for i in range(0, size, BLOCK)]
    places, keys = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return places, end.rank(_lifted(keys))


def _block(end: End, score: Score, among: Candidates, floor: int, part: slice) -> tuple[Places, Keys]:
    """Of one block: places, and raw keys."""
    keys = _raw(score(part))
    reaching = end.reaches(keys, floor)
    reaching &= among(part)
    hits = true_places(reaching)
    keys = keys.take(hits)
    hits += part.start
    return hits, keys


def true_places(mask: Mask) -> Places:
    """`np.flatnonzero`, in half the time where few are true: it is slow there, and fast on the eights that hold any."""
    if mask.size % 8 or int(np.count_nonzero(mask)) > mask.size // 16:
        return np.flatnonzero(mask)
    eights = mask.view(np.uint64)
    full = np.flatnonzero(eights != 0)
    inner = np.flatnonzero(eights.take(full).view(np.bool_))
    full -= np.arange(full.size)
    full *= 8
    inner += full.take(inner // 8)
    return inner


def _raw(score: NDArray[np.float32]) -> Keys:
    """Signed integers in the order of the scores, but for what counts as 0."""
    bits = score.view(np.int32)
    if not bits.size or bits.view(np.uint32).max() < INFINITY:  # finite and no sign bit: the usual scores
        return bits
    if not np.isfinite(score).all():
        raise FloatingPointError("a score is not finite")
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _lifted(keys: Keys) -> Keys:
    """Keys with all |x| < 2⁻¹²⁶ equal, above those of negative scores and below those of positive ones."""
    if not keys.size or keys.min() >= ZERO:
        return keys
    return np.where((keys >= ~ZERO) & (keys < ZERO), ZERO, keys)


def _bracket(sample: Keys, share: float) -> tuple[int, int]:
    """Two keys between which the one lies that `share` of all keys reach, three standard errors on either side."""
    ordered = np.sort(sample)
    slack = 3 * (share * (1 - share) / max(1, sample.size)) ** 0.5 + 2 / max(1, sample.size)
    low, high = int((share + slack) * sample.size), int((share - slack) * sample.size)
    return (
        int(ordered[-1 - low]) if low < sample.size else LOWEST,
        int(ordered[-1 - high]) if high >= 0 and sample.size else ~LOWEST,
    )


def _choose(end: End, keys: Keys, count: int, places: Places, shape: tuple[int, ...], order: Order) -> Mask:
    """Mask over `places` of the `count` highest keys."""
    threshold, reached, above = _kth_largest(keys, count)
    if reached == count:
        return keys >= threshold
    chosen = keys > threshold
    ties = np.flatnonzero(keys == threshold)
    chosen[end.take(_canonically(ties, places, shape, order), count - above)] = True
    return chosen


def _canonically(ties: Places, places: Places, shape: tuple[int, ...], order: Order) -> Places:
    """The ties in the order of their canonical flat indices."""
    if order == tuple(range(len(order))):
        return ties
    stored = np.unravel_index(places[ties], [shape[axis] for axis in order])
    canonical = np.ravel_multi_index([stored[order.index(axis)] for axis in range(len(shape))], shape)
    return ties[np.argsort(canonical)]


def _kth_largest(keys: Keys, count: int) -> tuple[int, int, int]:
    """(the `count`-th largest key, how many keys reach it, how many exceed it)."""
    low, high = _bracket(keys[:: max(1, keys.size // SAMPLE)], count / keys.size)
    above = int(np.count_nonzero(keys > high))
    inside = keys.compress((keys >= low) & (keys <= high))
    if above < count <= above + inside.size:
        threshold, reached, exceeded = _kth_of(inside, count - above)
        return threshold, reached + above, exceeded + above
    return _kth_of(keys, count)


def _kth_of(keys: Keys, count: int) -> tuple[int, int, int]:
    largest = int(keys.max())
    if largest == keys.min():
        return largest, keys.size, 0
    return (_kth_by_sorting if keys.size <= FEW else _kth_by_bits)(keys, count)


def _kth_by_sorting(keys: Keys, count: int) -> tuple[int, int, int]:
    ordered = np.sort(keys)
    threshold = int(ordered[-count])
    reached = keys.size - int(np.searchsorted(ordered, threshold, "left"))
    return threshold, reached, keys.size - int(np.searchsorted(ordered, threshold, "right"))


def _kth_by_bits(keys: Keys, count: int) -> tuple[int, int, int]:
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
