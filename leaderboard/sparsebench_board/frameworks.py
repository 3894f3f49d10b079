"""One cell in two frameworks: seeds mean the same weights, batches and masks in both, so what differs is arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from sparsebench_board.groups import benchmark, grouped
from sparsebench_board.holm import holm_within
from sparsebench_board.paired import Difference, difference
from sparsebench_board.rows import Row


@dataclass(frozen=True)
class Twins:
    """Two rows that differ in nothing but the backend; `difference` is `first` less `second`, seed by seed.

    `p_holm` is the paired test's p, corrected over the twins of a model and data set.
    """

    first: Row
    second: Row
    difference: Difference
    p_holm: float | None

    @property
    def what(self) -> str:
        """`torch − jax`."""
        return f"{self.first.backend} − {self.second.backend}"


def twins(rows: Sequence[Row]) -> list[Twins]:
    """Every two rows of different backends with the same `twin` and a seed in common, in the order of the first.

    Of two backends the later in the alphabet comes first: torch less jax. Rows that lack seeds are compared over those
    they have, since nothing is ranked here; rows of which a seed diverged are not, since what is left of them flatters.
    """
    whole = [row for row in rows if not row.diverged]
    pairs = [pair for group in grouped(whole, lambda row: (row.twin,)) for pair in _pairs(group)]
    found = [difference(*pair) for pair in pairs]
    corrected = holm_within([benchmark(first) for first, _ in pairs], [each.p for each in found])
    return [Twins(first, second, each, p) for (first, second), each, p in zip(pairs, found, corrected, strict=True)]


def single(rows: Sequence[Row], found: Sequence[Twins]) -> list[Row]:
    """Rows without a twin; neither those of which a seed diverged nor theirs."""
    paired = {row.cell for each in found for row in (each.first, each.second)}
    lost = {row.twin for row in rows if row.diverged}
    return [row for row in rows if row.cell not in paired and row.twin not in lost]


def _pairs(group: Sequence[Row]) -> list[tuple[Row, Row]]:
    names = sorted(group, key=lambda row: row.backend, reverse=True)
    return [
        (first, second)
        for first, second in combinations(names, 2)
        if first.backend != second.backend and set(first.seeds) & set(second.seeds)
    ]
