"""`sparsebench compare RUN RUN`: where two records first differ."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sparsebench import records as store
from sparsebench.cli.options import RUNS, Records
from sparsebench.cli.output import say
from sparsebench.errors import UserError

if TYPE_CHECKING:
    from sparsebench_board.comparing import Part

DIFFERENT = 1
"""The exit code where anything differs, as of diff and cmp."""


def compare(
    first: Annotated[str, Parameter(help="a run's id, or the folder of its record")],
    second: Annotated[str, Parameter(help="another one")],
    /,
    *,
    records: Records = RUNS,
) -> int:
    """Compare two records part by part; 0 where they are equal, 1 where they differ."""
    from sparsebench_board.comparing import compared

    parts = compared(find(first, records), find(second, records))
    for line in _told(parts):
        say(line)
    return DIFFERENT if any(part.differences for part in parts) else 0


def find(run: str, records: Path) -> store.Record:
    """The record of a run: the folder itself, or the one of that id among `records`.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    for folder in (Path(run), records / run):
        if (folder / "result.json").is_file():
            return store.read(folder)
    close = get_close_matches(run, [path.name for path in store.paths(records)], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"no record {run!r} in {records}: {hint}give a run's id, or the folder of its record")


def _told(parts: Iterable[Part]) -> Iterable[str]:
    first = ""
    for part in parts:
        first = first or (part.name if part.differences else "")
        for place, line in enumerate(part.differences or ("same",)):
            yield f"{'' if place else part.name:<10}{line}"
    yield f"first difference: {first}" if first else "equal, times aside"
