"""What the design's text says, in slow and plain Python and NumPy: the expected values of masks, counts and clocks.

Written from the rules alone and without a look at how the harness follows them: sorts where it selects, exact
fractions where it rounds, unbounded integers where it wraps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Shape = tuple[int, ...]
Group = tuple[int, ...]
"""A group of entries that a pattern gives room: an output, or a place on the axes of one."""
Pattern = tuple[int, int] | str
"""(n, m) for N:M along the inputs; "rows": a group for every output."""

SMALLEST_NORMAL = 2.0**-126


# ---- masks ----------------------------------------------------------------------------------------------------


def ranked(score: Array, among: Mask) -> NDArray[np.intp]:
    """Flat indices of the candidates, best first: highest score, lowest canonical flat index among equals."""
    values = np.asarray(score, np.float64).ravel(order="C")
    values = np.where(np.abs(values) < SMALLEST_NORMAL, 0.0, values)
    candidates = np.flatnonzero(np.asarray(among).ravel(order="C"))
    return candidates[np.argsort(-values[candidates], kind="stable")]


def top(score: Array, count: int, among: Mask) -> Mask:
    """The `count` best candidates as a mask."""
    mask = np.zeros(np.size(score), bool)
    mask[ranked(score, among)[:count]] = True
    return mask.reshape(np.shape(score))


def update(drop: Array, grow: Array, mask: Mask, kept: int, grown: int) -> Mask:
    """The mask after an update: drop, then grow among everything inactive after the drop, just-dropped included."""
    keep = top(drop, kept, mask)
    return keep | top(grow, grown, ~keep)


def active(size: int, sparsity: float) -> int:
    """N − ⌊s·N⌋, in float64."""
    return size - math.floor(sparsity * size)


def counts(size: int, sparsity: float, now: int, drop_fraction: float) -> tuple[int, int]:
    """(kept, grown): what is above N − ⌊s·N⌋ goes, then trunc(f · what is left); then up to N − ⌊s·N⌋."""
    after = active(size, sparsity)
    left = min(now, after)
    kept = left - math.trunc(drop_fraction * left)
    return kept, after - kept


# ---- patterns -------------------------------------------------------------------------------------------------


def group_of(pattern: Pattern, index: Sequence[int]) -> Group:
    """Which group an entry belongs to: (n, m) for N:M along the inputs, else a whole output."""
    output, channel, *place = index
    return (output, *place, channel // pattern[1]) if isinstance(pattern, tuple) else (output,)


def room_in(pattern: Pattern, shape: Shape, total: int) -> dict[Group, int]:
    """Group -> how many of it may be active, where `total` are; a dense layer is outside of every pattern."""
    groups = {group_of(pattern, index) for index in np.ndindex(*shape)}
    if isinstance(pattern, tuple):
        return dict.fromkeys(groups, max(pattern) if total == math.prod(shape) else pattern[0])
    return dict.fromkeys(groups, total // max(1, shape[0]))


def greedy(score: Array, among: Mask, taken: Mask, room: Mapping[Group, int], count: int, pattern: Pattern) -> Mask:
    """The best candidates one by one, unless their group is full, until there are `count`."""
    left, mask = dict(room), np.zeros(np.shape(score), np.bool_)
    indices: list[tuple[int, ...]] = list(np.ndindex(*score.shape))
    full: list[int] = np.flatnonzero(taken).tolist()
    best: list[int] = ranked(score, among).tolist()
    for index in (indices[flat] for flat in full):
        left[group_of(pattern, index)] -= 1
    for index in (indices[flat] for flat in best):
        if mask.sum() < count and left[group_of(pattern, index)] > 0:
            mask[index] = True
            left[group_of(pattern, index)] -= 1
    return mask


def patterned_update(
    drop: Array, grow: Array, mask: Mask, kept: int, total: int, pattern: Pattern, room: Mapping[Group, int]
) -> Mask:
    """The mask after an update within the rooms of a pattern, filled up to `total` or to what there is room for."""
    keep = greedy(drop, mask, mask & False, room, kept, pattern)
    return keep | greedy(grow, ~keep, keep, room, total - int(keep.sum()), pattern)


def ablated_room(drop: Array, grow: Array, mask: Mask, kept: int, grown: int, gamma: Fraction) -> dict[Group, int]:
    """SRigL's: outputs with fewer than max(1, ⌊γ·k⌋) salient connections get none, the others what there is.

    `gamma` is a Fraction. Outputs are never so few that they cannot hold all connections.
    """
    outputs, inputs, total = mask.shape[0], mask[0].size, kept + grown
    salient = top(drop, kept, mask) | top(grow, grown, np.ones(mask.shape, np.bool_))
    counts = [int(row.sum()) for row in salient]
    needed = math.ceil(Fraction(total, inputs))
    enough = sorted(counts, reverse=True)[needed - 1]
    wanted = min(max(1, math.floor(gamma * (total // outputs))), enough)
    alive = [count >= wanted for count in counts]
    share = min(total // sum(alive), inputs)
    return {(output,): share if lives else 0 for output, lives in enumerate(alive)}


# ---- distributions --------------------------------------------------------------------------------------------


def er_ratio(shape: Shape) -> Fraction:
    """(n_in + n_out) / (n_in · n_out)."""
    n_out, n_in, *_ = shape
    return Fraction(n_in + n_out, n_in * n_out)


def erk_ratio(shape: Shape) -> Fraction:
    """(n_in + n_out + k_w + k_h) / (n_in · n_out · k_w · k_h); fully connected layers use ER."""
    if len(shape) == 2:
        return er_ratio(shape)
    n_out, n_in, height, width = shape
    return Fraction(n_in + n_out + width + height, n_in * n_out * width * height)


def densities(
    shapes: Sequence[Shape], sparsity: float, ratio_of: Callable[[Shape], Fraction], densest: Fraction = Fraction(1)
) -> list[Fraction]:
    """Exact densities min(densest, ε·r): the fewest of the largest r have the densest such that no other exceeds it.

    They take their connections out of the budget Σ (N − ⌊S·N⌋), and ε shares out what is left.
    """
    ratios = [ratio_of(shape) for shape in shapes]
    sizes = [math.prod(shape) for shape in shapes]
    budget = sum(active(size, sparsity) for size in sizes)
    for limit in sorted(set(ratios), reverse=True):
        most = [active(size, float(1 - densest)) for size, r in zip(sizes, ratios, strict=True) if r > limit]
        free = sum((r * size for size, r in zip(sizes, ratios, strict=True) if r <= limit), Fraction())
        epsilon = (budget - sum(most)) / free
        if epsilon * limit <= densest:
            return [epsilon * r if r <= limit else densest for r in ratios]
    return [densest for _ in ratios]


# ---- noise ----------------------------------------------------------------------------------------------------


def words(text: str) -> tuple[int, int]:
    """Two unsigned 32-bit words of a text's BLAKE2b hash, little end first."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def lowbias32(x: int) -> int:
    """Wellons's integer hash, https://github.com/skeeto/hash-prospector, in integers without bound."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def noise(seed: int, iteration: int, layer: str, purpose: str, indices: Iterable[int]) -> list[Fraction]:
    """Scores of some entries, as fractions of 2²⁴: the top 24 bits of two rounds of the hash, a word for each."""
    first, second = (a ^ b for a, b in zip(words(f"{seed}/{iteration}/{layer}"), words(purpose), strict=True))
    return [Fraction(lowbias32((lowbias32(j ^ first) + second) % 2**32) >> 8, 2**24) for j in indices]


def noise_array(seed: int, iteration: int, layer: str, purpose: str, shape: Shape) -> NDArray[np.float32]:
    """The same for all entries, as float32 of a shape."""
    scores = noise(seed, iteration, layer, purpose, range(math.prod(shape)))
    return np.array([float(score) for score in scores], np.float32).reshape(shape)


# ---- clocks ---------------------------------------------------------------------------------------------------


def rewiring_iterations(steps: int, delta_t: int, end: int) -> list[int]:
    """Multiples of ΔT with ΔT ≤ i < T_end, of the iterations 0 … T − 1."""
    return [i for i in range(steps) if i % delta_t == 0 and delta_t <= i < end]


def cosine_fraction(alpha: float, i: int, end: int) -> float:
    """f(i) = α/2 · (1 + cos(πi/T_end))."""
    return alpha / 2 * (1 + math.cos(math.pi * i / end))


def pruning_iterations(steps: int, delta_t: int, begin: int, end: int) -> list[int]:
    """From t0 to t1 every ΔT, and t1 itself."""
    return sorted({*range(begin, end, delta_t), end} & set(range(steps)))


def pruning_share(i: int, begin: int, end: int) -> Fraction:
    """1 − (1 − u)³, exactly: the share of its final sparsity that a layer has at iteration i."""
    return 1 - (1 - Fraction(i - begin, end - begin)) ** 3
