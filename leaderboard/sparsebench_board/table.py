"""The board itself as a view: a sheet for each model and data set, every field of every row for programs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, fields

from sparsebench_board.columns import benchmarks, columns, notes, preamble, title
from sparsebench_board.formats import formatted
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Sheet, View, lines


def render(rows: Sequence[Row], format: str) -> str:
    """The board of some rows in one of the formats.

    Raises:
        UserError: no such format.
    """
    return formatted(board(rows), format)


def board(rows: Sequence[Row]) -> View:
    """Rows that rank with nothing are dim, and stand apart at the end."""
    sheets = tuple(sheet(group) for group in benchmarks(rows))
    return View(sheets, tuple(field.name for field in fields(Row)), tuple(asdict(row) for row in rows))


def sheet(group: Sequence[Row]) -> Sheet:
    """The rows of one model and data set, in sections of equal sparsity."""
    shown = columns(group)
    body = lines(shown, group, _section, lambda row: not row.ranked, lambda row: row.cell)
    return Sheet(title(group), preamble(group), shown, body, notes(group))


def _section(row: Row) -> Hashable:
    return not row.ranked, row.sparsity
