"""Jobs on a Ray cluster: actors on its nodes, each with a worker process as the pool has them.

A run is trained in that process, so that it is asked to end, fails and is lost as on one machine; the actor tells its
events. Where a node does not see the folder of records, what a run needs is sent to it, and what it writes is fetched.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsebench import redoing
from sparsebench.aside import aside
from sparsebench.errors import NotInstalledError, UserError
from sparsebench.executors import process
from sparsebench.executors.fetching import Parcel, checkpoint, record, unpack
from sparsebench.executors.jobs import Job, Queue
from sparsebench.executors.seat import WAIT, News, Seat
from sparsebench.worker import Event, Failed, Finished, Lost, Ongoing, Started, Work

QUIET: Mapping[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}


@dataclass(frozen=True)
class Ray:
    """The executor of a Ray cluster: so many jobs at a time, each with `cpus` cores and `gpus` GPUs of one node.

    `fetch` says whether nodes lack the folder of records; None: each is asked.
    """

    slots: int
    cpus: float = 1
    gpus: float = 0
    fetch: bool | None = None

    def run(self, work: Work, jobs: Iterable[Job], log: Path) -> Generator[tuple[Job, Event]]:
        """As an executor does, on the cluster that this process is connected to; closing ends what is in flight."""
        root = log.parent.absolute()
        with aside(root) as mark:
            shift = _Shift(self, work, root, mark, root / log.name, Queue.of(jobs))
            try:
                yield from shift.all()
            finally:
                shift.end()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise NotInstalledError("--on ray needs Ray: pip install 'sparsebench[ray]'") from error


@contextmanager
def connected(address: str | None) -> Generator[Any]:
    """In here this process is connected to the cluster of an address, of RAY_ADDRESS, to one here, or one it starts.

    Yields the resources of its nodes.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _ray()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address, **QUIET)
        else:
            _near(ray)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"no Ray cluster answers at {address or 'this machine'} ({said}): is it up?") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # Ray's would end this process without its checkpoints
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def _near(ray: Any) -> None:
    """One that runs on this machine, else a new one that nobody else sees."""
    try:
        ray.init("auto", **QUIET)
    except ConnectionError:
        ray.init("local", include_dashboard=False, **QUIET)


def sized(nodes: Sequence[Mapping[str, float]], slots: int | None, device: str, devices: int) -> Ray:
    """An executor that uses a cluster of these nodes' resources, as many jobs at a time as there is room for.

    Raises:
        UserError: no node has room for one.
    """
    what = "GPU" if device == "cuda" else "CPU"
    room = [int(node.get(what, 0) // devices) for node in nodes]
    if not any(room):
        raise UserError(f"--on ray: a run takes {devices} {what}s of one node, and no node has them: see `ray status`")
    slots = slots or sum(room)
    cores = min(node.get("CPU", 0) / each for node, each in zip(nodes, room, strict=True) if each)
    largest = max(node.get("CPU", 0) for node in nodes)
    if device == "cuda":
        return Ray(slots, cpus=max(1, int(cores)), gpus=devices)
    return Ray(slots, cpus=max(devices, int(min(largest, sum(node.get("CPU", 0) for node in nodes) // slots))))


@dataclass
class _Chair:
    """An actor and its job, if it has one; `lane` is the one that its process serves."""

    actor: Any
    lane: str = ""
    job: Job | None = None
    fetch: bool = False


@dataclass
class _Shift:
    """All jobs of one command. `calls` are those to actors that have not answered."""

    executor: Ray
    work: Work
    root: Path
    mark: Path
    log: Path
    queue: Queue
    chairs: list[_Chair] = field(default_factory=list[_Chair])
    calls: dict[Any, _Chair] = field(default_factory=dict[Any, _Chair])

    def all(self) -> Iterator[tuple[Job, Event]]:
        """Until nothing is to do."""
        ray = _ray()
        while True:
            yield from self._fill()
            if not self.calls:
                return
            ready, _ = ray.wait(list(self.calls), num_returns=1, timeout=WAIT)
            for call in ready:
                yield from self._answered(self.calls.pop(call), call)

    def end(self) -> None:
        """Ask all to end, wait for their checkpoints, and take them away."""
        ray = _ray()
        busy = [chair for chair in self.chairs if chair.job]
        asked: list[Any] = [chair.actor.end.remote() for chair in busy]
        if asked:
            ray.wait(asked, num_returns=len(asked), timeout=process.GRACE + 5)
        for call in asked:
            with suppress(Exception):  # it has been lost meanwhile, or takes too long
                self._take(ray.get(call, timeout=1))
        for chair in self.chairs:
            ray.kill(chair.actor)

    def _fill(self) -> Iterator[tuple[Job, Event]]:
        """Give a job to whoever has none; what nobody needs makes room."""
        ray = _ray()
        seat = ray.remote(max_restarts=0, num_cpus=self.executor.cpus, num_gpus=self.executor.gpus)(Seat)
        for chair in [chair for chair in self.chairs if not chair.job]:
            if job := self.queue.take(self._busy(), chair.lane):
                yield from self._give(chair, job)
            else:
                ray.kill(chair.actor)
                self.chairs.remove(chair)
        while len(self.chairs) < self.executor.slots and (job := self.queue.take(self._busy())):
            self.chairs.append(chair := _Chair(seat.remote()))
            yield from self._give(chair, job)

    def _busy(self) -> Counter[str]:
        return Counter(chair.lane for chair in self.chairs if chair.job)

    def _give(self, chair: _Chair, job: Job) -> Iterator[tuple[Job, Event]]:
        chair.job, chair.lane = job, job.lane
        self.calls[chair.actor.sees.remote(self.mark)] = chair
        yield job, Started()

    def _answered(self, chair: _Chair, call: Any) -> Iterator[tuple[Job, Event]]:
        """What an actor answers; it is asked on until its job is over."""
        ray = _ray()
        if chair.job is None:
            raise AssertionError("an actor without a job has been asked")
        try:
            answer = ray.get(call)
        except ray.exceptions.RayError as error:
            self.chairs.remove(chair)
            with suppress(Exception):
                ray.kill(chair.actor)
            yield from self.queue.told(chair.job, Lost(f"a worker or its node is gone: {type(error).__name__}"))
            return
        if isinstance(answer, bool):
            yield from self._begun(
                chair, chair.job, fetch=not answer if self.executor.fetch is None else self.executor.fetch
            )
            return
        events = self._take(answer)
        for event in events:
            yield from self.queue.told(chair.job, event)
        if any(not isinstance(event, Ongoing) for event in events):
            chair.job = None
        else:
            self.calls[chair.actor.news.remote()] = chair

    def _begun(self, chair: _Chair, job: Job, fetch: bool) -> Iterator[tuple[Job, Event]]:
        """The actor begins, with what it needs of the folder of records where it does not see it."""
        if fetch and redoing.is_marked(self.root, job.id):
            chair.job = None
            yield from self.queue.told(job, Failed("--again needs a folder of records that all nodes see"))
            return
        sent: Parcel | None = None
        if fetch:
            sent = checkpoint(self.root, job.id) | (record(self.root, job.after) if job.after else {})
        chair.actor.begin.remote(job.lane, self.work, job.argument, job.id, self.log, sent)
        self.calls[chair.actor.news.remote()] = chair

    def _take(self, news: News) -> list[Event]:
        """Put into place what was fetched, and the log; returns the events."""
        if news.log:
            with suppress(OSError), self.log.open("ab") as log:
                log.write(news.log)
        try:
            unpack(news.files, self.root)
        except UserError as error:
            return [Failed(str(error)) if isinstance(event, Finished) else event for event in news.events]
        return list(news.events)
