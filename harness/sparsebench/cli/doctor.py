"""`sparsebench doctor`: is all as it should be, and what is to be done where it is not? Nothing is changed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from cyclopts import Parameter

from sparsebench.cli.network import Format
from sparsebench.cli.options import RUNS, Data, Records, check_data
from sparsebench.cli.output import say
from sparsebench.doctor import examined
from sparsebench.doctor.finding import Finding, Place
from sparsebench.errors import UserError
from sparsebench.terminal import Terminal

INDENT = 11
"""Columns before what was found: two blanks, the longest level, two more."""
WIDEST = 100


def doctor(
    *,
    records: Records = RUNS,
    data: Data = None,
    format: Annotated[Format, Parameter(help="how to print it")] = "table",
) -> int:
    """Check installation, devices, data, records, MLflow and disk; 0: no problem, 1: there is one."""
    check_data(data)
    if records.exists() and not records.is_dir():
        raise UserError(f"--records {records}: no folder is there, but something else; give a folder, or leave it out")
    found: dict[str, list[Finding]] = {}
    for area, findings in examined(Place(records, data)):
        found[area] = list(findings if format == "json" else _shown(area, findings))
    counts = _counts(found)
    if format == "json":
        say(json.dumps(_document(found) | counts, indent=1, ensure_ascii=False))
    else:
        say(_summary(counts))
    return 1 if counts["problems"] else 0


def _shown(area: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, each printed as it comes: some take seconds."""
    say(area)
    for each in findings:
        for line in _lines(each, _width()):
            say(line)
        yield each


def _lines(finding: Finding, width: int) -> list[str]:
    """How it stands beside its level, and what to do under it."""
    text = [*textwrap.wrap(finding.what, width - INDENT, break_on_hyphens=False)]
    if finding.remedy:
        text += textwrap.wrap(f"→ {finding.remedy}", width - INDENT, subsequent_indent="  ", break_on_hyphens=False)
    return [f"  {finding.level if not place else '':<{INDENT - 2}}{line}" for place, line in enumerate(text)]


def _width() -> int:
    console = Terminal()
    return min(console.width, WIDEST) if console.is_terminal else WIDEST


def _counts(found: Mapping[str, Sequence[Finding]]) -> dict[str, int]:
    levels = [each.level for findings in found.values() for each in findings]
    return {"problems": levels.count("problem"), "warnings": levels.count("warning")}


def _document(found: Mapping[str, Sequence[Finding]]) -> dict[str, object]:
    rows = [
        {"area": area, "level": each.level, "what": each.what, "remedy": each.remedy or None}
        for area, findings in found.items()
        for each in findings
    ]
    return {"findings": rows}


def _summary(counts: Mapping[str, int]) -> str:
    told = [f"{count} {name[:-1] if count == 1 else name}" for name, count in counts.items() if count]
    return ", ".join(told) or "all is well"
