"""Records to MLflow: a parent run for each cell, a child for each seed. Records are the truth; this is their image.

Mirroring again changes nothing: a child that finished with the digest of its record is left alone; one with another
digest, or that an interrupted mirror left unfinished, is made anew and the old one deleted. Runs in the store whose
records are not here stay, so parts of a benchmark may be mirrored one after the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import entries
from sparsebench_board.cells import Cell, cells
from sparsebench_board.shelf import Shelf, open_shelf
from sparsebench_board.tracking import line, load, within
from sparsebench_board.welcome import greet

START, EACH = 60.0, 10.0
"""Seconds that a store may take, and for each run: fifty times what one on another continent needs."""
DAMAGED = (UserError, OSError, ValueError, KeyError, TypeError)
"""What reading a damaged record, or one that lacks something, raises."""


@dataclass(frozen=True)
class Outcome:
    """What mirroring did, in runs: made, left alone, made anew, failed and why (one line each)."""

    new: int = 0
    present: int = 0
    replaced: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = {"new": self.new, "already there": self.present, "replaced": self.replaced, "failed": self.failed}
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none"
        return f"MLflow runs: {told}" + (f" ({'; '.join(self.reasons)})" if self.reasons else "")


@dataclass
class Tally:
    """The outcome in the making."""

    total: int
    began: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter[str])
    reasons: list[str] = field(default_factory=list[str])

    def outcome(self) -> Outcome:
        """What was not reached has failed."""
        done = {name: self.counts[name] for name in ("new", "present", "replaced")}
        return Outcome(**done, failed=self.total - sum(done.values()), reasons=tuple(dict.fromkeys(self.reasons)))

    def hurry(self) -> None:
        """Raise UserError where nobody waits for the end any more: what was left behind begins nothing new."""
        if time.monotonic() > self.began + patience(self.total):
            raise UserError("it is too slow")


def patience(runs: int) -> float:
    """Seconds that a store may take for so many runs in all, however it spends them."""
    return START + EACH * runs


def mirror(records: Sequence[Record], uri: str, artifacts: Path) -> Outcome:
    """Mirror records to the store at `uri`; artifacts go to the folder `artifacts` if the store is a local file.

    Whatever goes wrong in the store is part of the outcome, found out within seconds; a store that is only slow, or
    never comes to an end, is given up after `patience`.

    Raises:
        UserError: MLflow is not installed.
    """
    load()
    found = cells(records)
    tally = Tally(sum(len(cell.records) for cell in found))
    if not tally.total:
        return Outcome()
    try:
        within(patience(tally.total), lambda: _mirror_cells(found, uri, artifacts, tally))
    except Exception as error:  # stores raise what they like; records are complete, so the caller goes on
        tally.reasons.append(line(error))
    return tally.outcome()


def remove(records: Sequence[str], uri: str, artifacts: Path) -> int:
    """Take the images of these records from the store at `uri`; returns how many there were.

    Raises:
        UserError: MLflow is not installed, or the store cannot be used.
    """
    load()
    try:
        return within(patience(len(records)), lambda: _remove(records, uri, artifacts))
    except UserError:
        raise
    except Exception as error:  # stores raise what they like
        raise UserError(line(error)) from error


def _remove(records: Sequence[str], uri: str, artifacts: Path) -> int:
    shelf = open_shelf(uri, artifacts)
    removed = shelf.remove(records)
    greet(shelf)
    return removed


def _mirror_cells(found: Sequence[Cell], uri: str, artifacts: Path, tally: Tally) -> None:
    shelf = open_shelf(uri, artifacts)
    for cell in found:
        _mirror_cell(shelf, cell, tally)
    greet(shelf)


def _mirror_cell(shelf: Shelf, cell: Cell, tally: Tally) -> None:
    parent = shelf.parent(entries.cell_entry(cell))
    for record in cell.records:
        tally.hurry()
        _mirror_record(shelf, cell, record, parent, tally)
    shelf.summarise(parent, cell.id)


def _mirror_record(shelf: Shelf, cell: Cell, record: Record, parent: str, tally: Tally) -> None:
    try:
        found = shelf.find(record.id, entries.digest(record)) or entries.entry(record, cell)
    except DAMAGED as error:
        reason = line(error) if isinstance(error, UserError) else f"{type(error).__name__}: {line(error)}"
        tally.reasons.append(f"record {record.id}: {reason}")
        return
    known = shelf.knows(record.id)
    if isinstance(found, entries.Entry):
        shelf.add(found, parent)
        tally.counts["replaced" if known else "new"] += 1
    else:
        shelf.keep(found, parent)
        tally.counts["present"] += 1
