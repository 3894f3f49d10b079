"""`sparsebench plot KIND`: a picture of run records, as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench.cli import board
from sparsebench.cli.only import matching
from sparsebench.cli.options import RUNS, FromMLflow, Records
from sparsebench.cli.output import say
from sparsebench.errors import UserError, unknown
from sparsebench.records import Record


def plot(
    kind: Annotated[str, Parameter(help="what to draw")],
    /,
    *,
    records: Records = RUNS,
    from_mlflow: FromMLflow = False,
    only: Annotated[str | None, Parameter(help="some of the runs, such as method=rigl,seed=0")] = None,
    to: Annotated[Path | None, Parameter(help="the SVG file to write [KIND.svg]")] = None,
) -> None:
    """Draw a picture of some runs."""
    from sparsebench_board.pictures import KINDS

    if kind not in KINDS:
        raise unknown("picture", kind, KINDS)
    found = _chosen(board.found(records, from_mlflow), only)
    target = to or Path(f"{kind}.svg")
    _write(target, KINDS[kind].svg(found))
    say(f"{kind} of {len(found)} runs: {target}")


def _chosen(found: Sequence[Record], only: str | None) -> Sequence[Record]:
    if not found:
        raise UserError("there are no runs to draw: `sparsebench run quick` makes some")
    if only is None:
        return found
    matches = matching([record.config for record in found], only)
    chosen = [record for record in found if matches(record.config)]
    if not chosen:
        raise UserError(f"--only {only!r}: each of its values occurs, but in no run together")
    return chosen


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): give another --to") from error
