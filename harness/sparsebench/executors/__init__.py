"""Who trains many runs: an executor gives jobs to workers, here or elsewhere, and tells what happens to each."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Protocol

from sparsebench.executors.jobs import Job
from sparsebench.worker import Event, Work


class Executor(Protocol):
    """Workers on one machine or on many."""

    @property
    def slots(self) -> int:
        """How many jobs it does at a time, at most."""
        ...

    def run(self, work: Work, jobs: Iterable[Job], log: Path) -> Generator[tuple[Job, Event]]:
        """Do all jobs and tell what happens to each: it has `Started`, it `Progressed`, and is `Finished` or `Failed`.

        One whose worker is lost may start anew, `Lost` between. Closing the generator ends what is in flight, asked
        first, so that it can keep a checkpoint. What workers print, tracebacks included, is appended to `log`.

        Raises:
            UserError: it cannot give jobs to anybody.
        """
        ...
