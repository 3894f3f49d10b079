"""What there is to train on: cores, memory, GPUs, and whether the backends start and see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparsebench import environment, plugins
from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.doctor.isolated import asked
from sparsebench.errors import NotInstalledError, UserError
from sparsebench.worker import Failed, Report

GIGABYTE = 1e9
LITTLE = 2 * GIGABYTE
"""Memory below which a framework may not even be imported beside another."""
CONTROL = Path("/sys/fs/cgroup")
"""Where Linux tells what a container may use (cgroup v2)."""


def cores(place: Place) -> Iterable[Finding]:
    """How many, and may they be used?"""
    allowed, present = environment.threads(), os.cpu_count() or 1
    yield ok(f"{allowed} of {present} CPU cores may be used ({environment.cpu()})")
    quota = _quota()
    if quota and quota < allowed:
        yield warning(
            f"this container's share is {quota:.3g} cores, fewer than the {allowed} it sees",
            f"train with --slots {max(1, int(quota))}",
        )


def _quota() -> float | None:
    with suppress(OSError, ValueError):
        most, period = (CONTROL / "cpu.max").read_text().split()
        return float(most) / float(period)
    return None


def memory(place: Place) -> Iterable[Finding]:
    """How much is free, within the limit of a container?"""
    free = min((each for each in (_available(), _left_in_container()) if each is not None), default=None)
    if free is None:
        return
    told = f"{free / GIGABYTE:.1f} GB of memory free"
    yield ok(told) if free >= LITTLE else warning(f"only {told}", "end other programs, or train with --slots 1")


def _available() -> float | None:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    return None


def _left_in_container() -> float | None:
    with suppress(OSError, ValueError):  # "max": no limit
        return float((CONTROL / "memory.max").read_text()) - float((CONTROL / "memory.current").read_text())
    return None


@dataclass(frozen=True)
class Answer:
    """What a backend says: why it is not installed, or why it cannot use the CPU or CUDA; None: it can."""

    absent: str | None = None
    cpu: str | None = None
    cuda: str | None = None


def backends(place: Place) -> Iterable[Finding]:
    """Does each backend start, and do they agree on the GPUs?"""
    ends = asked(_opened, {name: name for name in plugins.names("backends")})
    answers: dict[str, Answer] = {}
    for name, end in ends.items():
        if isinstance(end, Failed):
            yield problem(f"backend {name} does not start: {end.reason}", "reinstall its packages, or uninstall it")
        else:
            answers[name] = end.result
    usable = [name for name, answer in answers.items() if not (answer.absent or answer.cpu)]
    for name, answer in answers.items():
        yield from _told(name, answer)
    if not usable:
        yield problem("no backend can be used", "pip install 'sparsebench[torch]' or 'sparsebench[jax]'")
    yield from _gpus({name: answers[name].cuda for name in usable})


def _told(name: str, answer: Answer) -> Iterator[Finding]:
    if answer.absent:
        what, _, remedy = answer.absent.partition(": ")
        yield warning(what, remedy)
    elif answer.cpu:
        yield problem(f"backend {name} cannot use the CPU: {answer.cpu}", "reinstall its packages")
    else:
        yield ok(f"backend {name} starts")


def _opened(name: str, report: Report) -> Answer:
    try:
        backend = plugins.load("backends", name)
    except NotInstalledError as error:
        return Answer(absent=str(error))
    reasons: dict[str, str | None] = {}
    for device in ("cpu", "cuda"):
        try:
            backend.trainer(device)
        except UserError as error:
            reasons[device] = str(error)
    return Answer(**reasons)


def _gpus(reasons: Mapping[str, str | None]) -> Iterator[Finding]:
    """`reasons` why a backend that can be used sees no CUDA device; None: it does."""
    present, seeing = _listed(), [name for name, reason in reasons.items() if reason is None]
    if not present and not seeing:
        yield ok("no GPU: training is on the CPU")
        return
    yield ok(f"GPU: {', '.join(present) or 'there is one'}; --device cuda in {', '.join(seeing) or 'no backend'}")
    for name, reason in reasons.items():
        if reason is not None and plugins.package("backends", name) == "sparsebench":
            yield warning(f"backend {name} does not see the GPU: {reason}", f"install the CUDA version of {name}")


def _listed() -> list[str]:
    """NVIDIA's GPUs by name, as the driver lists them."""
    if sys.platform != "linux" or not shutil.which("nvidia-smi"):
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []
