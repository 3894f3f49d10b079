"""`--view tied`: which rows of the same sparsity and backend cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsebench_board import legends
from sparsebench_board.columns import ACCURACY, BACKEND, SEEDS, identity, settings
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.ties import Tie, ties
from sparsebench_board.views import shared

FIELDS = (*shared.NAMED, "letters", "best", "tied_with_best", "tied", *shared.DIFFERENCE, "p_holm", "tests")
OWN = (
    Column[Tie]("groups", lambda tie: tie.letters or "–"),
    Column[Tie](
        "to best",
        lambda tie: "best" if tie.best else shared.gain(tie.difference),
        number=lambda tie: 0.0 if tie.best else shared.middle(tie),
    ),
    Column[Tie]("p", shared.chance, number=shared.p_holm),
    Column[Tie]("tied", lambda tie: "yes" if tie.tied_with_best else "no"),
    Column[Tie]("could show", shared.could_show, number=shared.detectable),
)
NOTES = (
    "groups: rows of the same sparsity and backend share a letter exactly where they cannot be told apart (p ≥ 0.05)",
    f"p: {legends.TEST}, {legends.HOLM} over all pairs of such rows; shown: to the best mean",
    "tied: whether that pair cannot be told apart",
    "to best: mean difference to the row with the best mean, over the seeds of both, with its interval",
    legends.DETECTABLE,
)


def view(rows: Sequence[Row]) -> View:
    """A sheet for each model and data set, a section for each sparsity and backend, the best row of each first."""
    return shared.view(rows, FIELDS, ties, _sheet, _entry)


def _sheet(rows: Sequence[Row], found: list[Tie]) -> Sheet:
    columns = (
        *shared.of_rows((*identity(rows), BACKEND, ACCURACY), _row),
        *OWN,
        SEEDS.of(_row),
        *shared.of_rows(settings(rows), _row),
    )
    body = lines(columns, found, lambda tie: (tie.row.sparsity, tie.row.backend), cell=lambda tie: tie.row.cell)
    return shared.sheet(rows, columns, body, *NOTES, *legends.left_out(rows))


def _row(tie: Tie) -> Row:
    return tie.row


def _entry(tie: Tie) -> dict[str, Any]:
    own = {
        "letters": tie.letters, "best": tie.best, "tied_with_best": tie.tied_with_best, "tied": tie.tied,
        "p_holm": tie.p_holm, "tests": tie.tests,
    }  # fmt: skip
    return shared.named(tie.row) | own | shared.differing(tie.difference)
