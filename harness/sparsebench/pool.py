"""Jobs in worker processes: each worker has its own cores and serves one lane, so a framework is imported once.

A job that fails, or whose worker is killed, costs only itself. A worker whose lane is empty makes room for one of
another lane.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sparsebench.worker import Event, Failed, Progressed, Started, Work, serve

GRACE = 15.0
"""Seconds a busy worker has to reach the end of its segment and keep a checkpoint, when all is to end."""


@dataclass(frozen=True)
class Job:
    """One thing to do: `id` names it, `lane` says which workers may do it, `argument` can be pickled.

    It waits for the job of the id `after`, if that is among the jobs, and is lost with it.
    """

    id: str
    lane: str
    argument: Any
    after: str = ""


def run(work: Work, jobs: Iterable[Job], workers: int, log: Path) -> Generator[tuple[Job, Event]]:
    """Do all jobs and tell what happens to each; closing the generator ends every process, within `GRACE` seconds.

    What workers print, frameworks and tracebacks included, is appended to the file `log`.
    """
    crew = _Crew(work, log)
    for job in jobs:
        crew.waiting.setdefault(job.lane, deque()).append(job)
        crew.unfinished.add(job.id)
    try:
        for cores in shares(available_cores(), workers):
            yield from crew.employ(cores)
        while crew.busy:
            for connection in wait(list(crew.busy)):
                yield from crew.listen(crew.busy[connection][0])
    finally:
        _end([worker for worker, _ in crew.busy.values()])


def _end(workers: Sequence[_Worker]) -> None:
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


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    connection: Connection[Any, Any]
    lane: str
    cores: tuple[int, ...]

    def read(self) -> Event:
        """The next event of its job."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Failed(f"its worker process was ended by {_ending(self.process.exitcode or 0)}")

    def dismiss(self) -> None:
        """End the process at once; an idle one has nothing to lose."""
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass(frozen=True)
class _Crew:
    """Who does what: jobs waiting in each lane, and the job each worker is busy with."""

    work: Work
    log: Path
    waiting: dict[str, deque[Job]] = field(default_factory=dict[str, deque[Job]])
    busy: dict[Any, tuple[_Worker, Job]] = field(default_factory=dict[Any, tuple[_Worker, Job]])
    unfinished: set[str] = field(default_factory=set[str])
    idle: deque[tuple[int, ...]] = field(default_factory=deque[tuple[int, ...]])

    def employ(self, cores: tuple[int, ...]) -> Iterator[tuple[Job, Event]]:
        """A new worker on these cores for the lane with most jobs for each of its workers, if any job can start."""
        on_lane = Counter(worker.lane for worker, _ in self.busy.values())
        lanes = [lane for lane in self.waiting if self._ready(lane)]
        if lanes:
            lane = max(lanes, key=lambda name: len(self.waiting[name]) / (1 + on_lane[name]))
            yield self._give_job(_hire(lane, cores, self.log))
        else:
            self.idle.append(cores)

    def listen(self, worker: _Worker) -> Iterator[tuple[Job, Event]]:
        """One event from a worker; when its job is over, the next job, or another worker in its place."""
        event, job = worker.read(), self.busy[worker.connection][1]
        yield job, event
        if isinstance(event, Progressed):
            return
        del self.busy[worker.connection]
        self.unfinished.discard(job.id)
        if isinstance(event, Failed):
            yield from self._abandon(job)
        if self._ready(worker.lane) and worker.process.exitcode is None:
            yield self._give_job(worker)
        else:
            worker.dismiss()
            self.idle.append(worker.cores)
        for _ in range(len(self.idle)):  # what the job has set free may be for other lanes
            yield from self.employ(self.idle.popleft())

    def _ready(self, lane: str) -> Job | None:
        """The first job of a lane that waits for no other."""
        return next((job for job in self.waiting[lane] if job.after not in self.unfinished), None)

    def _abandon(self, lost: Job) -> Iterator[tuple[Job, Event]]:
        """Everything that waits for a job that failed."""
        for job in [job for queue in self.waiting.values() for job in queue if job.after == lost.id]:
            self.waiting[job.lane].remove(job)
            self.unfinished.discard(job.id)
            yield (
                job,
                Failed(
                    "the run that its ticket was to come from failed: mend that one, then run the same command again"
                ),
            )
            yield from self._abandon(job)

    def _give_job(self, worker: _Worker) -> tuple[Job, Event]:
        job = self._ready(worker.lane)
        if job is None:
            raise AssertionError(f"a worker was asked for although no job of lane {worker.lane!r} can start")
        self.waiting[worker.lane].remove(job)
        self.busy[worker.connection] = worker, job
        with suppress(OSError):  # that it died idle is noticed when it is listened to
            worker.connection.send((self.work, job.argument))
        return job, Started()


def _hire(lane: str, cores: tuple[int, ...], log: Path) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, cores, log), daemon=True)
    with _uninterrupted():
        process.start()
    theirs.close()  # so that the end of the process is the end of the connection
    return _Worker(process, ours, lane, cores)


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
        return "SIGKILL, perhaps for lack of memory: use fewer --workers"
    return signal.Signals(-code).name


def available_cores() -> tuple[int, ...]:
    """The cores this process may use."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def shares(cores: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Cores for each worker: disjoint and even, or one each in turn when there are more workers than cores."""
    if workers > len(cores):
        return [(cores[k % len(cores)],) for k in range(workers)]
    cuts = [len(cores) * k // workers for k in range(workers + 1)]
    return [tuple(cores[start:stop]) for start, stop in itertools.pairwise(cuts)]
