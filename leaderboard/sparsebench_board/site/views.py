"""Every view of the board, made once for all pages: what it is called, what it tells, and its table on a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sparsebench_board import table
from sparsebench_board.columns import ACCURACY, benchmarks
from sparsebench_board.labels import plain
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.site import tables
from sparsebench_board.site.names import slug
from sparsebench_board.site.tables import Table
from sparsebench_board.views import against, budget, frameworks, pareto, tied

BUDGETS = (0.25, 0.5, 1.0, 2.0)
BASELINES = ("dense", "static")
"""What sparsity costs, and what moving masks brings: compared with unless something else is asked for."""
SHARE_A_LETTER = "ties: rows of the same sparsity and backend that share a letter cannot be told apart"


@dataclass(frozen=True)
class Shown:
    """A view of all rows, under a `name` that is safe in addresses; `draw` makes a table of one benchmark's part."""

    name: str
    title: str
    lead: str
    view: View
    draw: Callable[[str, View], Table]


@dataclass(frozen=True)
class Section:
    """One benchmark's part of a view."""

    name: str
    title: str
    lead: str
    table: Table


def shown(rows: Sequence[Row], baseline: str | None = None, budgets: Sequence[float] = BUDGETS) -> list[Shown]:
    """All views; differences to `baseline`, or to each of `BASELINES` that some row is of.

    Raises:
        UserError: no row is of the method `baseline`, or scipy is not installed.
    """
    methods = [baseline] if baseline else [name for name in BASELINES if any(row.method == name for row in rows)]
    told = tied.view(rows)
    return [
        Shown(
            "board", "The board",
            "A row for each method, sparsity and backend, over all its seeds; the best of each sparsity first.",
            _with_letters(rows, told), tables.accuracies,
        ),
        Shown(
            "ties", "Ties",
            "What cannot be told apart: every two rows of the same sparsity and backend are tested.",
            told, tables.differences,
        ),
        Shown(
            "fronts", "Pareto fronts",
            "For each cost, the rows that nothing beats, and how often they stay there when seeds are drawn anew.",
            pareto.view(rows), tables.accuracies,
        ),
        Shown(
            "budgets", "Within a budget",
            "The best that a share of dense training FLOPs buys, whatever sparsity and length, and what ties with it.",
            budget.view(rows, budgets), tables.differences,
        ),
        Shown(
            "frameworks", "Between frameworks",
            "The same cell in two backends. A seed means the same weights, batches and first masks in both: what "
            "differs is arithmetic.",
            frameworks.view(rows), tables.differences,
        ),
        *(
            Shown(
                f"against-{slug(method)}", f"Against {plain(method)}",
                f"What each row gains or loses, seed by seed, against the row of {plain(method)} that is like it in "
                "all else.",
                against.view(rows, method), tables.differences,
            )
            for method in methods
        ),
    ]  # fmt: skip


def sections(found: Sequence[Shown], rows: Sequence[Row]) -> list[list[Section]]:
    """For each model and data set, in their order, the views that have something to say of it."""
    parts = [(each, _parts(each.view, rows)) for each in found]
    return [
        [
            Section(each.name, each.title, each.lead, each.draw(each.name, views[place]))
            for each, views in parts
            if views[place].entries
        ]
        for place in range(len(benchmarks(rows)))
    ]


def _parts(view: View, rows: Sequence[Row]) -> list[View]:
    """A view of each model and data set alone."""
    return [
        replace(
            view,
            sheets=(sheet,),
            entries=tuple(
                entry
                for entry in view.entries
                if (entry["model"], entry["dataset"]) == (group[0].model, group[0].dataset)
            ),
        )
        for sheet, group in zip(view.sheets, benchmarks(rows), strict=True)
    ]


def _with_letters(rows: Sequence[Row], tied: View) -> View:
    """The board, with a column that says which rows are tied."""
    letters = {entry["cell"]: entry["letters"] for entry in tied.entries}
    column = Column[Row]("ties", lambda row: letters.get(row.cell, ""))
    plain_board = table.board(rows)
    sheets = (
        _lettered(sheet, group, column) for sheet, group in zip(plain_board.sheets, benchmarks(rows), strict=True)
    )
    return replace(plain_board, sheets=tuple(sheets))


def _lettered(sheet: Sheet, group: Sequence[Row], column: Column[Row]) -> Sheet:
    place = sheet.columns.index(ACCURACY) + 1
    added = lines((column,), group)
    return replace(
        sheet,
        columns=(*sheet.columns[:place], column, *sheet.columns[place:]),
        lines=tuple(
            replace(
                line,
                texts=(*line.texts[:place], *more.texts, *line.texts[place:]),
                numbers=(*line.numbers[:place], None, *line.numbers[place:]),
            )
            for line, more in zip(sheet.lines, added, strict=True)
        ),
        notes=(SHARE_A_LETTER, *sheet.notes),
    )
