"""How long jobs take side by side: given to workers as `pool` gives them, without doing any."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timed:
    """A job as in `pool.Job`, and its seconds; a worker's first of a `kind` takes `setup` more."""

    id: str
    lane: str
    seconds: float
    after: str = ""
    kind: str = ""
    setup: float = 0.0


@dataclass
class _Worker:
    lane: str = ""
    kinds: set[str] = field(default_factory=set[str])


def makespan(jobs: Sequence[Timed], workers: int, launches: Mapping[str, float]) -> float:
    """Seconds until the last job is over; a worker that begins to serve a lane takes its launch first.

    Never less than the sum of all seconds over the workers, nor than a chain of jobs that wait for each other.
    """
    waiting, idle, now = list(jobs), [_Worker() for _ in range(workers)], 0.0
    busy: list[tuple[float, int, _Worker, Timed]] = []
    while waiting or busy:
        undone = {job.id for job in waiting} | {job.id for *_, job in busy}
        for worker in list(idle):
            job = _next(worker, [job for job in waiting if job.after not in undone], waiting, busy)
            if job:
                idle.remove(worker)
                waiting.remove(job)
                heapq.heappush(busy, (now + _taken(worker, job, launches), -len(waiting), worker, job))
        now, _, worker, _ = heapq.heappop(busy)
        idle.append(worker)
    return now


def _next(
    worker: _Worker, ready: Sequence[Timed], waiting: Sequence[Timed], busy: Sequence[tuple[float, int, _Worker, Timed]]
) -> Timed | None:
    """The first of its own lane, else of the lane with most jobs for each of its workers."""
    own = [job for job in ready if job.lane == worker.lane]
    queued, served = Counter(job.lane for job in waiting), Counter(other.lane for _, _, other, _ in busy)
    return next(iter(own), max(ready, key=lambda job: queued[job.lane] / (1 + served[job.lane]), default=None))


def _taken(worker: _Worker, job: Timed, launches: Mapping[str, float]) -> float:
    launch = 0.0
    if worker.lane != job.lane:
        worker.lane, worker.kinds, launch = job.lane, set(), launches.get(job.lane, 0.0)
    setup = 0.0 if job.kind in worker.kinds else job.setup
    worker.kinds.add(job.kind)
    return launch + setup + job.seconds
