"""An actor on a node of a Ray cluster: it has a worker process as the pool has them, and tells what that says.

Where the node does not see the folder of records, the worker reads and writes in a folder of the node's own.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sparsebench.errors import UserError
from sparsebench.executors import process
from sparsebench.executors.fetching import Parcel, checkpoint, record, unpack
from sparsebench.executors.process import Worker, hire
from sparsebench.worker import LOG, Event, Failed, Finished, Ongoing, Slot, Work

WAIT = 1.0
"""Seconds that an actor waits for news before it says that there are none."""


@dataclass(frozen=True)
class News:
    """What has happened to a job; files to fetch, and what was printed, where the folder of records is not seen."""

    events: tuple[Event, ...] = ()
    files: Parcel = field(default_factory=dict[str, bytes])
    log: bytes = b""


class Seat:
    """An actor: it has a worker process on its node, and tells what that says. One job at a time."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.id, self.kept = "", ""
        self.own: tempfile.TemporaryDirectory[str] | None = None
        self.refused, self.read = "", 0

    def sees(self, folder: Path) -> bool:
        """Whether this folder is there."""
        return folder.is_dir()

    def begin(self, lane: str, work: Work, argument: Any, id: str, log: Path, sent: Parcel | None) -> None:
        """Give a job to the worker; with files `sent`, it reads and writes in a folder of this node."""
        if sent is not None:
            self.own = self.own or tempfile.TemporaryDirectory(prefix="sparsebench-")
            root = Path(self.own.name)
            try:
                unpack(sent, root)
            except UserError as error:
                self.refused = str(error)
                return
            again: Any = work  # a partial of the command's
            work, log = partial(again, records=root), root / LOG
        self.id, self.kept = id, ""
        if self.worker and (self.worker.lane != lane or self.worker.process.exitcode is not None):
            self.worker.dismiss()
            self.worker = None
        self.worker = self.worker or hire(lane, Slot(), log)
        self.worker.give(work, argument)

    def news(self) -> News:
        """What has happened since the last time; after the end of the job it is not asked."""
        if self.refused or self.worker is None:
            return News((Failed(self.refused or "its worker was given no job"),))
        events: list[Event] = []
        while self.worker.connection.poll(0 if events else WAIT):
            events.append(self.worker.read())
            if not isinstance(events[-1], Ongoing):
                break
        return self._with_files(events)

    def end(self) -> News:
        """Ask the worker to end, and wait until it has; what it kept can be fetched."""
        if self.worker:
            process.end([self.worker])
            self.worker = None
        return self._with_files([])

    def _with_files(self, events: list[Event]) -> News:
        if self.own is None:
            return News(tuple(events))
        root, files = Path(self.own.name), dict[str, bytes]()
        if any(isinstance(event, Finished) for event in events):
            files = record(root, self.id)
        elif found := checkpoint(root, self.id, self.kept):
            self.kept = next(iter(found)).rpartition("/")[0]
            files = found
        return News(tuple(events), files, self._printed(root / LOG))

    def _printed(self, log: Path) -> bytes:
        with suppress(OSError), log.open("rb") as file:
            file.seek(self.read)
            new = file.read()
            self.read += len(new)
            return new
        return b""
