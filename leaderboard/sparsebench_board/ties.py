"""Rows that cannot be told apart: every pair of a model, data set, sparsity and backend is tested, Holm-corrected.

Two rows are *told apart* if the paired t-test over the seeds that both have, corrected over all pairs of their group,
has p < 5 %; otherwise they are *tied*. A pair with fewer than two common seeds cannot be tested, and is tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sparsebench_board.groups import family, grouped, ranked
from sparsebench_board.holm import LEVEL, holm
from sparsebench_board.paired import Difference, difference, differences, p_value
from sparsebench_board.rows import Row

Pair = tuple[int, int]
"""Places of two rows, the lower first."""
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Tie:
    """A row among those of its group. `tied` are the cells it cannot be told apart from, itself left out.

    `letters`: two rows share one exactly where they are tied; empty for all where 26 are too few, or no
    pair could be tested.
    `difference` is to the best row of the group, the one with the highest mean, `p_holm` the corrected p of that pair;
    both None for the best itself and where they have no seed in common. `tests` is the number of pairs corrected for.
    """

    row: Row
    letters: str
    tied: tuple[str, ...]
    best: bool
    tied_with_best: bool
    difference: Difference | None
    p_holm: float | None
    tests: int


def ties(rows: Sequence[Row]) -> list[Tie]:
    """Every row among those of its model, data set, sparsity and backend, the best first; none that lacks seeds."""
    return [tie for group in grouped(ranked(rows), family) for tie in tied(group)]


def tied(group: Sequence[Row]) -> list[Tie]:
    """Each of some rows among them, the best first."""
    rows = best_first(group)
    ps = pairwise(rows)
    apart = {pair for pair, p in ps.items() if p is not None and p < LEVEL}
    tests = sum(p is not None for p in ps.values())
    letters = lettered(len(rows), apart) if tests else [""] * len(rows)
    return [_tie(rows, place, letters[place], apart, ps.get((0, place)), tests) for place in range(len(rows))]


def best_first(rows: Iterable[Row]) -> list[Row]:
    """By mean accuracy, descending; equal means by cell, so that the order they came in means nothing."""
    return sorted(rows, key=lambda row: (-row.height, row.cell))


def to_best(row: Row, best: Row) -> Difference | None:
    """The row's difference to the best one; None for that one itself, and where no seed is common."""
    return difference(row, best) if row is not best and set(row.seeds) & set(best.seeds) else None


def pairwise(rows: Sequence[Row]) -> dict[Pair, float | None]:
    """The corrected p-value of every pair of rows; None where it cannot be tested."""
    pairs = list(combinations(range(len(rows)), 2))
    ps = [p_value(list(differences(rows[first], rows[second]).values())) for first, second in pairs]
    return dict(zip(pairs, holm(ps), strict=True))


def lettered(count: int, apart: Iterable[Pair]) -> list[str]:
    """The compact letter display of `count` rows, given the pairs told apart; "" for all where 26 letters are too few.

    Insert and absorb: one column for all; each pair told apart splits every column that has both, and a column that
    another contains is dropped. Source: Piepho, An algorithm for a letter-based representation of all-pairwise
    comparisons, J. Comput. Graph. Stat. 13 (2004).
    """
    columns: set[frozenset[int]] = {frozenset(range(count))}
    for pair in sorted(apart):
        columns = _absorbed(_split(columns, pair))
        if len(columns) > len(ALPHABET):
            return [""] * count
    named = dict(zip(ALPHABET, sorted(columns, key=sorted), strict=False))
    return ["".join(letter for letter, column in named.items() if place in column) for place in range(count)]


def _split(columns: Iterable[frozenset[int]], pair: Pair) -> set[frozenset[int]]:
    both = frozenset(pair)
    return {part for each in columns for part in ([each - {place} for place in pair] if both <= each else [each])}


def _absorbed(columns: set[frozenset[int]]) -> set[frozenset[int]]:
    return {each for each in columns if not any(each < other for other in columns)}


def _tie(rows: Sequence[Row], place: int, letters: str, apart: set[Pair], p_holm: float | None, tests: int) -> Tie:
    row = rows[place]
    alike = [other for other in range(len(rows)) if other != place and _ordered(place, other) not in apart]
    return Tie(
        row, letters, tuple(rows[other].cell for other in alike), place == 0, place == 0 or 0 in alike,
        to_best(row, rows[0]), p_holm, tests,
    )  # fmt: skip


def _ordered(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)
