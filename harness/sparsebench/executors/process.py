"""A worker process, from the side of whoever started it: jobs go in, events come out, and it can be ended."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sparsebench.worker import Event, Lost, Slot, Work, serve

GRACE = 15.0
"""Seconds a busy worker has to reach the end of its segment and keep a checkpoint, when all is to end."""


@dataclass(frozen=True)
class Worker:
    """A process that serves one lane in one slot; one job at a time."""

    process: BaseProcess
    connection: Connection[Any, Any]
    lane: str
    slot: Slot

    def give(self, work: Work, argument: Any) -> None:
        """A job; that the process died idle is noticed when it is listened to."""
        with suppress(OSError):
            self.connection.send((work, argument))

    def read(self) -> Event:
        """The next event of its job; `Lost` if the process is no more."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Lost(f"its worker process was ended by {_ending(self.process.exitcode or 0)}")

    def dismiss(self) -> None:
        """End the process at once; an idle one has nothing to lose."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def hire(lane: str, slot: Slot, log: Path) -> Worker:
    """Start a process; what it prints is appended to the file `log`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, slot, log), daemon=True)
    with _uninterrupted():
        process.start()
    theirs.close()  # so that the end of the process is the end of the connection
    return Worker(process, ours, lane, slot)


def end(workers: Sequence[Worker]) -> None:
    """End processes that are busy: asked first, so that a run can keep a checkpoint, and killed after `GRACE`."""
    deadline = time.monotonic() + GRACE
    try:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            worker.dismiss()


@contextmanager
def _uninterrupted() -> Generator[None]:
    """A process started in here ignores Ctrl-C from its first instruction."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    if code == -signal.SIGKILL:
        return "SIGKILL, perhaps for lack of memory: use fewer --slots"
    return signal.Signals(-code).name
