"""What runs in a worker process: jobs come through a connection, events go back through it.

This module imports neither NumPy nor a framework: the worker is pinned to its cores before the first of them is
loaded, since their thread pools are sized on import. That is why even the work itself arrives with each job.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from sparsebench.errors import UserError

LOG = "workers.log"
"""In the folder of records: what workers print, frameworks and tracebacks included."""


@dataclass(frozen=True)
class Started:
    """A worker has been given the job."""


@dataclass(frozen=True)
class Progressed:
    """The job has done `done` of `steps`."""

    done: int
    steps: int


@dataclass(frozen=True)
class Told:
    """Something about the job that its user should know, and that does not stop it."""

    line: str


@dataclass(frozen=True)
class Finished:
    """The job is done; `result` is what the work returned."""

    result: Any = None


@dataclass(frozen=True)
class Failed:
    """The job is lost: one line says why. `logged` if the worker wrote a traceback to its log."""

    reason: str
    logged: bool = False


@dataclass(frozen=True)
class Lost:
    """The job's worker is gone, or the machine it was on, and the job waits again: it continues from its checkpoint."""

    reason: str


Ongoing = Progressed | Told
"""What a job says while it goes on."""

Event = Started | Ongoing | Finished | Failed | Lost


@dataclass(frozen=True)
class Report:
    """How a job says what happens while it goes on; called with (steps done, steps in all)."""

    send: Callable[[Event], None]

    def __call__(self, done: int, steps: int) -> None:
        """How far it is."""
        self.send(Progressed(done, steps))

    def tell(self, line: str) -> None:
        """Something that its user should know."""
        self.send(Told(line))


Work = Callable[[Any, Report], object]
"""What to do with a job's argument; it can be pickled by name, and what it returns as it is."""


@dataclass(frozen=True)
class Slot:
    """Where a worker works: on these cores and these GPUs; empty: wherever it has been put."""

    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


def serve(connection: Connection, slot: Slot, log: Path) -> None:
    """Do the jobs that arrive, one after another, until the other end is closed."""
    _settle(slot, log)

    with suppress(OSError):  # the parent is gone: there is nobody to work for
        while connection.poll(None):
            connection.send(attempt(connection.recv, Report(connection.send)))


def _settle(slot: Slot, log: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    with _opened(log) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if slot.cores:
        os.environ["OMP_NUM_THREADS"] = str(len(slot.cores))
    if slot.cores and sys.platform == "linux":
        os.sched_setaffinity(0, slot.cores)
    if slot.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    share_politely()


def _opened(log: Path) -> IO[str]:
    """The log; without room for one, nothing is kept of what is printed."""
    try:
        return log.open("a")
    except OSError:
        return open(os.devnull, "a")


def share_politely() -> None:
    """Before a framework is loaded: leave room for others, unless the user says otherwise.

    OpenMP's threads wait by spinning: where something else wanted their cores too, a step of LeNet-300-100 on two of
    them took 5 to 150 ms, and 0.9 to 1.4 with threads that wait asleep (torch 2.15, interleaved).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes on one GPU


def attempt(receive: Callable[[], tuple[Work, Any]], report: Report) -> Event:
    """Receive a job and do it; how it ended, whatever it raises."""
    try:
        work, argument = receive()
        return Finished(work(argument, report))
    except UserError as error:
        return Failed(_line(str(error)))
    except MemoryError as error:
        told = f" ({error})" if str(error) else ""
        return Failed(_line(f"out of memory{told}: use fewer --slots"), logged=_logged())
    except Exception as error:
        return Failed(_line(f"{type(error).__name__}: {error}"), logged=_logged())


def _logged() -> bool:
    """Whether there was room for a traceback."""
    try:
        traceback.print_exc()
    except OSError:
        return False
    return True


def _line(text: str) -> str:
    return " ".join(text.split())
