"""Differences to the row of one method that is like a row in all else, for pages; on the board they are columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsebench_board import legends
from sparsebench_board.columns import ACCURACY, BACKEND, SEEDS, comparison, comparison_notes, identity, settings
from sparsebench_board.paired import compared
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Sheet, View, lines
from sparsebench_board.views import shared

FIELDS = (
    *shared.NAMED, "baseline", "difference", "difference_low", "difference_high", "difference_interval", "detectable",
    "p_holm",
)  # fmt: skip


def view(rows: Sequence[Row], method: str) -> View:
    """A sheet for each model and data set, of the rows that can be compared with one of `method`.

    Raises:
        UserError: no row is of that method.
    """
    found = {row.cell: row for row in compared(rows, method)}
    return shared.view(
        rows,
        FIELDS,
        lambda group: [found[row.cell] for row in group if found[row.cell].difference is not None],
        _sheet,
        _entry,
    )


def _sheet(rows: Sequence[Row], found: list[Row]) -> Sheet:
    columns = (*identity(rows), BACKEND, ACCURACY, *comparison(found), SEEDS, *settings(rows))
    body = lines(columns, found, lambda row: row.sparsity, lambda row: not row.ranked, lambda row: row.cell)
    return shared.sheet(rows, columns, body, *comparison_notes(found), *legends.diverged(rows))


def _entry(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}
