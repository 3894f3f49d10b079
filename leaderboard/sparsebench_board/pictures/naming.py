"""What a row is called in a picture: its method, and what else sets it apart from other rows of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from sparsebench.config import digits
from sparsebench_board.columns import distributions
from sparsebench_board.labels import pairs, plain
from sparsebench_board.rows import Row

Variant = tuple[str, str, float, str]
"""Method, distribution, multiplier, settings: rows that share them differ in sparsity and backend alone."""


def variant(row: Row) -> Variant:
    """That of a row."""
    return row.method, row.distribution, row.multiplier, pairs(row.settings)


def called(row: Row, others: Sequence[Row]) -> str:
    """`rigl`, `rigl uniform 5×`: distribution and length only where they tell rows apart."""
    several = row.sparsity and len(distributions(others)) > 1
    length = any(other.multiplier != 1 for other in others)
    parts = (
        row.method, row.distribution if several else "", f"{digits(row.multiplier)}×" if length else "",
        pairs(row.settings),
    )  # fmt: skip
    return plain(" ".join(part for part in parts if part))
