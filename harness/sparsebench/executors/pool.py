"""Jobs in worker processes of this machine: each has its own cores and GPUs and serves one lane, so that a framework
is imported once.

A job that fails, or whose worker is killed, costs only itself. A worker whose lane is empty makes room for one of
another lane.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from sparsebench.executors import process
from sparsebench.executors.jobs import Job, Queue
from sparsebench.executors.process import Worker, hire
from sparsebench.worker import Event, Failed, Lost, Ongoing, Slot, Started, Work


@dataclass(frozen=True)
class Pool:
    """The executor of one machine: so many jobs at a time, each on so many of its devices."""

    slots: int
    device: str = "cpu"
    devices: int = 1

    def run(self, work: Work, jobs: Iterable[Job], log: Path) -> Generator[tuple[Job, Event]]:
        """As an executor does; closing ends every process within `process.GRACE` seconds."""
        graphics = gpus() if self.device == "cuda" else ()
        cores = shares(available_cores(), self.slots)
        places = [Slot(*each) for each in zip(cores, portions(graphics, self.devices, self.slots), strict=True)]
        return run(work, jobs, places, log)


def run(work: Work, jobs: Iterable[Job], slots: int | Sequence[Slot], log: Path) -> Generator[tuple[Job, Event]]:
    """Do all jobs and tell what happens to each, as many at a time as there are slots."""
    places = [Slot(cores) for cores in shares(available_cores(), slots)] if isinstance(slots, int) else slots
    crew = _Crew(work, log, Queue.of(jobs))
    try:
        for place in places:
            yield from crew.employ(place)
        while crew.busy:
            for connection in wait(list(crew.busy)):
                yield from crew.listen(crew.busy[connection][0])
    finally:
        process.end([worker for worker, _ in crew.busy.values()])


@dataclass(frozen=True)
class _Crew:
    """Who does what: jobs that wait, the job each worker is busy with, and the slots that nobody needs now."""

    work: Work
    log: Path
    queue: Queue
    busy: dict[Any, tuple[Worker, Job]] = field(default_factory=dict[Any, tuple[Worker, Job]])
    idle: deque[Slot] = field(default_factory=deque[Slot])

    def employ(self, slot: Slot) -> Iterator[tuple[Job, Event]]:
        """A new worker in this slot for the lane with most jobs for each of its workers, if any job can start."""
        if job := self.queue.take(Counter(worker.lane for worker, _ in self.busy.values())):
            yield self._give(hire(job.lane, slot, self.log), job)
        else:
            self.idle.append(slot)

    def listen(self, worker: Worker) -> Iterator[tuple[Job, Event]]:
        """One event from a worker; when its job is over, the next job, or another worker in its place."""
        event, job = worker.read(), self.busy[worker.connection][1]
        event = Failed(event.reason) if isinstance(event, Lost) else event  # what kills here is mostly want of memory
        over = not isinstance(event, Ongoing)
        if over:
            del self.busy[worker.connection]
        yield from self.queue.told(job, event)
        if not over:
            return
        following = worker.process.exitcode is None and self.queue.serves(worker.lane)
        if following and (job := self.queue.take(Counter(), worker.lane)):
            yield self._give(worker, job)
        else:
            worker.dismiss()
            self.idle.append(worker.slot)
        for _ in range(len(self.idle)):  # what the job has set free may be for other lanes
            yield from self.employ(self.idle.popleft())

    def _give(self, worker: Worker, job: Job) -> tuple[Job, Event]:
        self.busy[worker.connection] = worker, job
        worker.give(self.work, job.argument)
        return job, Started()


# ---- what there is --------------------------------------------------------------------------------------------


def available_cores() -> tuple[int, ...]:
    """The cores this process may use."""
    if sys.platform == "linux":
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def gpus(environ: Mapping[str, str] = os.environ, system: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; no framework is asked."""
    if (visible := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name for each in visible.split(",") if (name := each.strip()))
    return tuple(str(k) for k, _ in enumerate(path for path in system.glob("nvidia*") if path.name[6:].isdigit()))


def default_slots(device: str, devices: int) -> int:
    """As many jobs at a time as there are GPUs for; on the CPU, as cores."""
    there = gpus() if device == "cuda" else available_cores()
    return max(1, len(there) // devices)


def shares(cores: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Cores for each worker: disjoint and even, or one each in turn when there are more workers than cores."""
    if workers > len(cores):
        return [(cores[k % len(cores)],) for k in range(workers)]
    cuts = [len(cores) * k // workers for k in range(workers + 1)]
    return [tuple(cores[start:stop]) for start, stop in itertools.pairwise(cuts)]


def portions(graphics: Sequence[str], devices: int, slots: int) -> list[tuple[str, ...]]:
    """GPUs for each slot: `devices` each, in turn where there are not enough; none where there are too few to say."""
    groups = [tuple(graphics[k : k + devices]) for k in range(0, len(graphics) - devices + 1, devices)]
    return [groups[k % len(groups)] if groups else () for k in range(slots)]
