"""`sparsebench leaderboard`: the board of all records, or of one suite's."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sparsebench import records as store
from sparsebench import suite as suites
from sparsebench.cli import board
from sparsebench.cli.options import RUNS, Data, Records, check_data, check_readable
from sparsebench.cli.output import say
from sparsebench.cli.work import prepare_all


def leaderboard(
    *,
    records: Records = RUNS,
    suite: Annotated[str | None, Parameter(help="only the runs of this suite")] = None,
    data: Data = None,
    against: Annotated[str | None, Parameter(help="a method: adds the paired difference to it")] = None,
    format: Annotated[board.Format, Parameter(help="how to print it")] = "table",
) -> None:
    """Print the board: one row for each method, sparsity and backend, over all its seeds."""
    check_data(data)
    check_readable(records)
    if suite is None:
        found = store.read_all(records)
    else:
        entries = prepare_all(suites.runs(suites.load(suite)), data, records)
        found = board.read(records, [entry.id for entry in entries if entry.listed])
    say(board.table(found, format, against))
