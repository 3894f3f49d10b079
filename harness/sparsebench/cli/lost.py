"""What is said of runs that diverged: they are recorded, and did not reach their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsebench.cli.work import Entry
from sparsebench.divergence import Divergence
from sparsebench.records import Record

NAMED = 6
"""Runs that the line names; of more it tells the number."""
DO = "lower the learning rate, or leave those cells as they are"


def told(entries: Sequence[Entry], found: Sequence[Record]) -> str:
    """One line for those of the recorded runs that diverged; empty where none did."""
    lost = {record.id: record.diverged for record in found if record.diverged}
    if not lost:
        return ""
    named = [_named(entry, lost) for entry in entries if entry.id in lost]
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    runs = "; ".join((*named[:NAMED], *more))
    return f"{len(lost)} of {len(found)} runs diverged, and their cells rank with nothing: {runs}; {DO}"


def _named(entry: Entry, lost: Mapping[str, Divergence]) -> str:
    return f"{entry.label} seed {entry.asked.seed} {lost[entry.id].brief}"
