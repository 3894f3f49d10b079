"""Jobs as jobs of a Slurm cluster, through submitit: one for each run, which Slurm places and queues.

submitit passes functions and ends through pickles in a folder beside the records that only their owner may enter; it
goes when the command ends. How far a run is comes back through a small file in there, which is read every few seconds.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from sparsebench.aside import aside
from sparsebench.errors import NotInstalledError, UserError
from sparsebench.executors.jobs import Job, Queue
from sparsebench.worker import Event, Failed, Lost, Progressed, Report, Started, Told, Work, attempt, share_politely

GRACE = 45.0
"""Seconds that cancelled jobs are waited for: Slurm itself gives them 30 (KillWait) to end."""
ASKED = 30.0
"""Seconds between questions to Slurm about jobs of which no end is seen."""
REPORTED = 0.5
"""Seconds between what a run says of its progress."""


@dataclass(frozen=True)
class Slurm:
    """The executor of a Slurm cluster: so many jobs at a time in its queue.

    `parameters` are options of sbatch by their long names. `cluster` is submitit's: "local" are processes of this
    machine. Files are read `every` so many seconds, and an end without a result is believed after `lag` seconds.
    """

    slots: int
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    cluster: str = "slurm"
    every: float = 2.0
    lag: float = 10.0

    def check(self) -> None:
        """Refuse what cannot be begun.

        Raises:
            UserError: submitit is not installed, or this is no machine that jobs are submitted from.
        """
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise NotInstalledError("--on slurm needs submitit: pip install 'sparsebench[slurm]'") from error
        del submitit
        if self.cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise UserError("--on slurm: there is no sbatch here: run it where jobs are submitted from, or --on local")

    def run(self, work: Work, jobs: Iterable[Job], log: Path) -> Generator[tuple[Job, Event]]:
        """As an executor does; closing cancels the jobs that are queued or run, and waits for their checkpoints."""
        self.check()
        share_politely()  # before submitit or what it starts loads NumPy
        with aside(log.parent.absolute()) as folder:
            shift = _Shift(self, work, log, folder, Queue.of(jobs))
            try:
                yield from shift.all()
            finally:
                shift.cancel()


@dataclass
class _Flight:
    """A job in Slurm's queue or on a node.

    `done` steps and `told` lines are known of it, and `ended` is when its end was first seen.
    """

    job: Job
    handle: Any
    notes: Path
    done: int = -1
    told: int = 0
    ended: float = 0.0


@dataclass
class _Shift:
    """All jobs of one command."""

    executor: Slurm
    work: Work
    log: Path
    folder: Path
    queue: Queue
    flights: list[_Flight] = field(default_factory=list[_Flight])
    count: int = 0
    asked: float = field(default_factory=time.monotonic)

    def all(self) -> Iterator[tuple[Job, Event]]:
        """Until nothing is queued or runs."""
        submitter = self._submitter()
        while True:
            while len(self.flights) < self.executor.slots and (job := self.queue.take(Counter())):
                self.flights.append(self._submit(submitter, job))
                yield job, Started()
            if not self.flights:
                return
            time.sleep(self.executor.every)
            yield from self._news()

    def cancel(self) -> None:
        """End what is queued or runs, and wait until it has.

        Slurm calls a job cancelled when it asks its processes to end, so the worker itself is waited for.
        """
        for flight in self.flights:
            with suppress(Exception):  # it has ended by itself, or Slurm cannot be reached
                flight.handle.cancel(check=False)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not all(map(_gone, self.flights)):
            time.sleep(min(1.0, self.executor.every))

    def _submitter(self) -> Any:
        import submitit

        submitter = submitit.AutoExecutor(self.folder, cluster=self.executor.cluster)
        submitter.update_parameters(
            name="sparsebench", nodes=1, tasks_per_node=1, slurm_additional_parameters=dict(self.executor.parameters)
        )
        return submitter

    def _submit(self, submitter: Any, job: Job) -> _Flight:
        """Raises UserError with what sbatch says."""
        from submitit.core import utils

        self.count += 1
        notes = self.folder / f"{self.count}.steps"
        try:
            with redirect_stderr(io.StringIO()):  # where submitit repeats it
                handle = submitter.submit(_serve, self.work, job.argument, notes)
            return _Flight(job, handle, notes)
        except (utils.FailedSubmissionError, utils.FailedJobError, OSError) as error:
            said = " ".join(str(error).split())
            raise UserError(f"sbatch refuses a job ({said}): see --slurm, sinfo and sacctmgr show assoc") from error

    def _news(self) -> Iterator[tuple[Job, Event]]:
        ask = time.monotonic() - self.asked >= ASKED
        if ask:
            self.asked = time.monotonic()
        for flight in list(self.flights):
            for done, steps in _noted(flight.notes):
                if done > flight.done:
                    flight.done = done
                    yield from self.queue.told(flight.job, Progressed(done, steps))
            end = self._end(flight, ask)
            for line in _lines(flight):
                yield from self.queue.told(flight.job, Told(line))
            ask = False  # one question is for all
            if end:
                self.flights.remove(flight)
                yield from self.queue.told(flight.job, end)

    def _end(self, flight: _Flight, ask: bool) -> Event | None:
        """How it ended, if it has: what the worker says, or what Slurm says of a job whose worker says nothing."""
        if not _over(flight, ask):
            return None
        if not flight.handle.paths.result_pickle.exists():
            flight.ended = flight.ended or time.monotonic()
            waited = time.monotonic() - flight.ended
            return self._silent(flight) if waited >= (GRACE if _ending(flight) else self.executor.lag) else None
        try:
            end: Event = flight.handle.result()
        except Exception as error:  # submitit's, with a traceback in it
            self._keep_log(flight)
            return Failed(f"its job ended with {type(error).__name__}", logged=True)
        if isinstance(end, Failed) and end.logged:
            self._keep_log(flight)
        return end

    def _silent(self, flight: _Flight) -> Event:
        state = str(flight.handle.state)
        self._keep_log(flight)
        if state.startswith("CANCELLED"):
            return Failed("its Slurm job was cancelled by somebody else", logged=True)
        if state.startswith("OUT_OF_ME"):
            return Failed("its Slurm job ran out of memory: ask for more with --slurm mem=", logged=True)
        return Lost(f"Slurm job {flight.handle.job_id}: {state.lower()}")

    def _keep_log(self, flight: _Flight) -> None:
        """What the job printed outlives its folder."""
        with suppress(OSError), self.log.open("ab") as log:
            for path in (flight.handle.paths.stdout, flight.handle.paths.stderr):
                log.write(path.read_bytes())


def _over(flight: _Flight, ask: bool) -> bool:
    return flight.handle.done(force_check=ask)


def _gone(flight: _Flight) -> bool:
    """Whether it has ended, and its worker, if it had one, says so too."""
    return _over(flight, ask=True) and not _mark(flight.notes).exists()


def _ending(flight: _Flight) -> bool:
    """Whether it is cancelled, and its worker has not ended yet."""
    return str(flight.handle.state).startswith("CANCELLED") and _mark(flight.notes).exists()


def _mark(notes: Path) -> Path:
    """A file that is there while a worker does the job."""
    return notes.with_suffix(".here")


def _noted(path: Path) -> list[tuple[int, int]]:
    """What a run first said of its progress, and last."""
    with suppress(OSError, ValueError):
        first, done, steps = map(int, path.read_text().split())
        return [(first, steps), (done, steps)]
    return []


def _lines(flight: _Flight) -> list[str]:
    """What a run has told since the last time, whole lines."""
    with suppress(OSError):
        lines = flight.notes.with_suffix(".told").read_text().split("\n")[flight.told : -1]
        flight.told += len(lines)
        return lines
    return []


# ---- on a node ------------------------------------------------------------------------------------------------


def _serve(work: Work, argument: Any, notes: Path) -> Event:
    """One job, in a process of its own; asked to end, it ends as a worker of the pool does, and says so."""
    mark = _mark(notes)

    def end(number: int, frame: FrameType | None) -> None:
        mark.unlink(missing_ok=True)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, end)  # not submitit's, which ignores it
    signal.signal(signal.SIGUSR2, _out_of_time)
    mark.touch()
    try:
        return attempt(lambda: (work, argument), _noting(notes))
    finally:
        mark.unlink(missing_ok=True)


def _out_of_time(number: int, frame: FrameType | None) -> None:
    """Slurm's warning before the time limit, as submitit asks for it: a run keeps a checkpoint, and its turn comes."""
    signal.raise_signal(signal.SIGTERM)


def _noting(notes: Path) -> Report:
    first, last = -1, -REPORTED

    def report(event: Event) -> None:
        nonlocal first, last
        if isinstance(event, Told):
            with suppress(OSError), notes.with_suffix(".told").open("a") as file:
                file.write(f"{' '.join(event.line.split())}\n")
        if not isinstance(event, Progressed):
            return
        done, steps = event.done, event.steps
        first = done if first < 0 else first
        if time.monotonic() - last >= REPORTED:
            last = time.monotonic()
            with suppress(OSError):  # nobody may be there any more to read it
                new = notes.with_suffix(".new")
                new.write_text(f"{first} {done} {steps}")
                os.replace(new, notes)

    return Report(report)
