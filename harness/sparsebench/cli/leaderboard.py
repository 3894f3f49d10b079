"""`sparsebench leaderboard`: the board of all records, or of one suite's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import suite as suites
from sparsebench.cli import board
from sparsebench.cli.options import RUNS, Data, FromMLflow, Records, check_data
from sparsebench.cli.output import put, say
from sparsebench.cli.work import prepare_all
from sparsebench.errors import UserError

BUDGETS = "0.25,0.5,1,2"
VIEW = "the table; rows tied with each other; Pareto fronts; the best that a training budget buys; torch less jax"


def leaderboard(
    *,
    records: Records = RUNS,
    from_mlflow: FromMLflow = False,
    suite: Annotated[str | None, Parameter(help="only the runs of this suite")] = None,
    data: Data = None,
    view: Annotated[board.View, Parameter(help=VIEW)] = "table",
    against: Annotated[str | None, Parameter(help="a method: adds the paired difference to it")] = None,
    references: Annotated[bool, Parameter(help="adds published rows, apart", negative="")] = False,
    budget: Annotated[str | None, Parameter(help=f"shares of dense training FLOPs for that view [{BUDGETS}]")] = None,
    format: Annotated[board.Format, Parameter(help="how to print it")] = "table",
    html: Annotated[Path | None, Parameter(help="write it as a static site to this folder instead, every view")] = None,
) -> None:
    """Print the board: one row for each method, sparsity and backend, over all its seeds."""
    _check(html, view, against, references, budget, format)
    check_data(data)
    budget = BUDGETS if budget is None else budget
    ids = None
    if suite is not None:
        entries = prepare_all(suites.runs(suites.load(suite)), data, records)
        ids = [entry.id for entry in entries if entry.listed]
    found = board.found(records, from_mlflow, ids)
    if html is not None:
        say(board.site(found, html, records, against, budget))
        return
    show = put if format == "table" else say  # a table may have colours
    show(
        board.table(found, format, against, references) if view == "table" else board.view(found, view, format, budget)
    )


def _check(
    html: Path | None, view: board.View, against: str | None, references: bool, budget: str | None, format: board.Format
) -> None:
    """Refuse options that another view, or the site, has no use for."""
    if html is not None:
        for given, option in (
            (view != "table", "--view"),
            (references, "--references"),
            (format != "table", "--format"),
        ):
            if given:
                raise UserError(
                    f"{option} is not for --html, which writes every view and format: leave one of the two out"
                )
        return
    for given, option, wanted in (
        (against is not None, "--against", "table"), (references, "--references", "table"),
        (budget is not None, "--budget", "budget"),
    ):  # fmt: skip
        if given and view != wanted:
            raise UserError(f"{option} is for --view {wanted}, given --view {view}: leave one of the two out")
