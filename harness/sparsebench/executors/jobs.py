"""Jobs that wait: in lanes, each after the one that it depends on, and once more where its worker was lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sparsebench.worker import Event, Failed, Lost, Progressed

TIMES = 3
"""How often a job's worker may be lost, without that the job comes further, until the job counts as failed."""


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
    """How far a job has ever come, and how often its worker was lost since it was further than before."""

    furthest: int = 0
    before: int = -1
    losses: int = 0


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
                luck = self.luck.setdefault(job.id, _Luck())
                luck.furthest = max(luck.furthest, done)
            case Lost(reason):
                event = self._again(job, reason)
            case _:
                pass
        yield job, event
        if isinstance(event, Progressed | Lost):
            return
        self.unfinished.discard(job.id)
        if isinstance(event, Failed):
            yield from self._abandon(job)

    def _again(self, job: Job, reason: str) -> Event:
        """Its turn comes again, before that of others."""
        luck = self.luck.setdefault(job.id, _Luck())
        luck.losses = 1 if luck.furthest > luck.before else luck.losses + 1
        luck.before = luck.furthest
        if luck.losses >= TIMES:
            return Failed(f"its worker was lost {TIMES} times in a row, and it came no further ({reason})")
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
            yield job, Failed("the run that its ticket was to come from failed")
            yield from self._abandon(job)
