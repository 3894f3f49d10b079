"""A run on several devices of this machine, each in a process of its own, which a backend's launcher starts.

What the processes are to do goes to them as JSON, and how far they are comes back as lines of JSON from the first one;
an error may come from any. They are in a session of their own: Ctrl-C reaches this process, which asks them to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sparsebench.config import RunConfig
from sparsebench.environment import threads
from sparsebench.errors import UserError
from sparsebench.stopping import SIGNALS, handled

MODULE = "sparsebench.replica"
GRACE = 15.0
"""Seconds that replicas have to end when this process does."""

Report = Callable[[int, int], None]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One run: its settings, and where it is trained."""

    config: RunConfig
    records: Path
    device: str
    every: float
    data: Path | None = None
    weights: Path | None = None
    checkpoint: Path | None = None

    def text(self) -> str:
        """As JSON."""
        places = {name: value if value is None else str(value) for name, value in vars(self).items()}
        return json.dumps(places | {"config": self.config.model_dump(mode="json"), "every": self.every})

    @classmethod
    def read(cls, text: str) -> Job:
        """What `text` wrote."""
        given = json.loads(text)
        places = {name: Path(given[name]) if given[name] else None for name in ("data", "weights", "checkpoint")}
        config, records = RunConfig.model_validate(given["config"]), Path(given["records"])
        return cls(config, records, given["device"], given["every"], **places)


def train(starter: Sequence[str], job: Job, devices: int, report: Report, tell: Tell, log: Path) -> None:
    """Train a run and wait for its end.

    A signal is passed on once, so that the replicas keep a checkpoint, and acts here when they have ended.

    Raises:
        UserError: a replica refuses or has been lost.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors, _started([*starter, "-m", MODULE, job.text()], devices, errors) as process:
        noted: list[int] = []

        def pass_on(number: int, frame: FrameType | None) -> None:
            noted.append(number)
            restore()
            process.terminate()

        with handled(SIGNALS, pass_on) as restore:
            mistakes = _listened(process, report, tell)
            code = process.wait()
    if noted:
        signal.raise_signal(noted[0])
    if code:
        lost = f"one of {devices} replicas is lost (see {log}): the same command continues from the last checkpoint"
        raise UserError(mistakes[0] if mistakes else lost)


@contextmanager
def _started(command: Sequence[str], devices: int, errors: Any) -> Generator[subprocess.Popen[str]]:
    """The launcher; it does not outlive the block."""
    shares = {"OMP_NUM_THREADS": str(max(1, threads() // devices))}
    with _warned_alone():
        process = subprocess.Popen(
            command, env=os.environ | shares, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def _warned_alone() -> Generator[None]:
    """Processes that are started in here, and theirs, take no notice of SIGUSR2, which would end them.

    Slurm warns all processes of a job that its time is nearly over; the one that started the others asks them to end.
    A blocked signal is inherited, and blocking is this thread's own: nothing is lost here, whichever thread it is.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listened(process: subprocess.Popen[str], report: Report, tell: Tell) -> list[str]:
    """What is wrong, as the replicas have it."""
    mistakes: list[str] = []
    for line in process.stdout or ():
        said = json.loads(line)
        match said:
            case {"done": done, "steps": steps}:
                report(done, steps)
            case {"tell": warning}:
                tell(warning)
            case {"mistake": mistake}:
                mistakes.append(mistake)
            case _:
                raise AssertionError(f"a replica says {said!r}")
    return mistakes
