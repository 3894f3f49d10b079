"""`sparsebench plot curves`: training loss and test accuracy of a few runs, as an SVG file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsebench import index
from sparsebench.cli.only import matching
from sparsebench.cli.options import RUNS, Records, check_readable
from sparsebench.cli.output import say
from sparsebench.errors import UserError


def plot(
    kind: Annotated[Literal["curves"], Parameter(help="what to draw")],
    /,
    *,
    records: Records = RUNS,
    only: Annotated[str | None, Parameter(help="some of the runs, such as method=rigl,seed=0")] = None,
    to: Annotated[Path, Parameter(help="the SVG file to write")] = Path("curves.svg"),
) -> None:
    """Draw curves of runs over their iterations."""
    from sparsebench_board import curves

    check_readable(records)
    found = index.read_all(records)
    if only is not None:
        matches = matching([record.config for record in found], only)
        found = [record for record in found if matches(record.config)]
    if not found:
        raise UserError(f"no records in {records}: `sparsebench run quick` makes some")
    curves.draw(found, to)
    say(f"{kind} of {len(found)} runs: {to}")
