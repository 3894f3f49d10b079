"""Jobs that wait: in lanes, each after the one that it depends on, and once more where its worker was lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sparsebench.worker import Event, Failed, Lost, Ongoing, Progressed

TIMES = 3
"""How often a job's worker may be lost until the job counts as failed: it began no further on than before."""
SOURCE_FAILED = "the run that its ticket was to come from failed: mend that one, then run the same command again"


@dataclass(frozen=True)
class Job:
    """One thing to do: `id` names it, `lane` says which workers may do it, `argument` can be pickled.

    It waits for the job of the id `after`, if that is among the jobs, and is lost with it.
    """

    id: str
    lane: str
    argument: Any
    after: str = ""


@dataclass
class _Luck:
    """What the first report of a job was, over all its workers, how many were lost since, and if this one's came."""

    first: int = -1
    losses: int = 0
    reported: bool = False


@dataclass(frozen=True)
class Queue:
    """Jobs that nobody does yet, by lane; the ids of all that are not over; and what was lost of each."""

    waiting: dict[str, deque[Job]] = field(default_factory=dict[str, deque[Job]])
    unfinished: set[str] = field(default_factory=set[str])
    luck: dict[str, _Luck] = field(default_factory=dict[str, _Luck])

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> Queue:
        """All of them wait, in their order."""
        queue = cls()
        for job in jobs:
            queue.waiting.setdefault(job.lane, deque()).append(job)
            queue.unfinished.add(job.id)
        return queue

    def take(self, busy: Counter[str], lane: str = "") -> Job | None:
        """A job that can start: of this lane, else of the one with most jobs for each of its `busy` workers."""
        found = self._ready(lane) if lane else None
        if found is None:
            ready = [job for name in self.waiting if (job := self._ready(name))]
            found = max(ready, key=lambda job: len(self.waiting[job.lane]) / (1 + busy[job.lane]), default=None)
        if found:
            self.waiting[found.lane].remove(found)
        return found

    def serves(self, lane: str) -> bool:
        """Whether a job of this lane can start."""
        return self._ready(lane) is not None

    def told(self, job: Job, event: Event) -> Iterator[tuple[Job, Event]]:
        """What a worker says of its job, and what follows: jobs lost with it; nothing is lost too often."""
        match event:
            case Progressed(done):
                self._reported(job, done)
            case Lost(reason):
                event = self._again(job, reason)
            case _:
                pass
        yield job, event
        if isinstance(event, Ongoing | Lost):
            return
        self.unfinished.discard(job.id)
        if isinstance(event, Failed):
            yield from self._abandon(job)

    def _reported(self, job: Job, done: int) -> None:
        """A worker that begins further on than any before goes on from a checkpoint that those had not."""
        luck = self.luck.setdefault(job.id, _Luck())
        if not luck.reported and done > luck.first:
            luck.first, luck.losses = done, 0
        luck.reported = True

    def _again(self, job: Job, reason: str) -> Event:
        """Its turn comes again, before that of others."""
        luck = self.luck.setdefault(job.id, _Luck())
        luck.losses, luck.reported = luck.losses + 1, False
        if luck.losses >= TIMES:
            return Failed(f"its worker was lost {TIMES} times with no checkpoint between ({reason})")
        self.waiting[job.lane].appendleft(job)
        return Lost(reason)

    def _ready(self, lane: str) -> Job | None:
        """The first job of a lane that waits for no other."""
        return next((job for job in self.waiting.get(lane, ()) if job.after not in self.unfinished), None)

    def _abandon(self, lost: Job) -> Iterator[tuple[Job, Event]]:
        """Everything that waits for a job that failed."""
        for job in [job for queue in self.waiting.values() for job in queue if job.after == lost.id]:
            self.waiting[job.lane].remove(job)
            self.unfinished.discard(job.id)
            yield job, Failed(SOURCE_FAILED)
            yield from self._abandon(job)
