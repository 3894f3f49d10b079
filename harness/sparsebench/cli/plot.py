"""`sparsebench plot KIND`: a picture of run records, as an SVG file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import index
from sparsebench.cli.only import matching
from sparsebench.cli.options import RUNS, Records, check_readable
from sparsebench.cli.output import say
from sparsebench.errors import UserError, unknown
from sparsebench.records import Record


def plot(
    kind: Annotated[str, Parameter(help="what to draw")],
    /,
    *,
    records: Records = RUNS,
    only: Annotated[str | None, Parameter(help="some of the runs, such as method=rigl,seed=0")] = None,
    to: Annotated[Path | None, Parameter(help="the SVG file to write [KIND.svg]")] = None,
) -> None:
    """Draw a picture of some runs."""
    from sparsebench_board.pictures import KINDS

    if kind not in KINDS:
        raise unknown("picture", kind, KINDS)
    found = _chosen(records, only)
    target = to or Path(f"{kind}.svg")
    _write(target, KINDS[kind].svg(found))
    say(f"{kind} of {len(found)} runs: {target}")


def _chosen(records: Path, only: str | None) -> list[Record]:
    check_readable(records)
    found = index.read_all(records)
    if not found:
        raise UserError(f"no records in {records}: `sparsebench run quick` makes some")
    if only is None:
        return found
    matches = matching([record.config for record in found], only)
    chosen = [record for record in found if matches(record.config)]
    if not chosen:
        raise UserError(f"--only {only!r}: each of its values occurs in {records}, but in no run together")
    return chosen


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): give another --to") from error
