"""Which rows are looked at together, and which may be ranked at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sparsebench_board.rows import Row

T = TypeVar("T")
Key = tuple[object, ...]


def benchmark(row: Row) -> Key:
    """Model and data set."""
    return row.model, row.dataset


def family(row: Row) -> Key:
    """Model, data set, sparsity and backend: rows whose tests are corrected together.

    Frameworks are compared by pairs of their own: in here they would double the rows, and hide what is apart.
    """
    return row.model, row.dataset, row.sparsity, row.backend


def grouped(items: Iterable[T], key: Callable[[T], Key]) -> list[list[T]]:
    """Those with the same key together, in the order of their first."""
    found: defaultdict[Key, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return list(found.values())


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows whose every seed is there and reached its end: the others' means are over other runs, so they rank with
    nothing."""
    return [row for row in rows if row.ranked]


def unranked(rows: Sequence[Row]) -> list[Row]:
    """Rows that lack seeds, or have one that diverged."""
    return [row for row in rows if not row.ranked]
