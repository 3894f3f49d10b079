"""`sparsebench compare RUN RUN`: where two records first differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sparsebench import records as store
from sparsebench.cli import finding
from sparsebench.cli.options import RUNS, Records
from sparsebench.cli.output import say

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

    parts = compared(*(store.read(finding.folder(run, records)) for run in (first, second)))
    for line in _told(parts):
        say(line)
    return DIFFERENT if any(part.differences for part in parts) else 0


def _told(parts: Iterable[Part]) -> Iterable[str]:
    first = ""
    for part in parts:
        first = first or (part.name if part.differences else "")
        for place, line in enumerate(part.differences or ("same",)):
            yield f"{'' if place else part.name:<10}{line}"
    yield f"first difference: {first}" if first else "equal, times aside"
