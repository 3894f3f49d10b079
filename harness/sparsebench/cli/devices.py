"""Are the devices there? Each backend is asked in a process of its own: a framework would hold on to them in ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sparsebench import plugins
from sparsebench.errors import UserError
from sparsebench.executors import pool
from sparsebench.launch import launched
from sparsebench.prepare import Prepared
from sparsebench.replicas import check_shares
from sparsebench.together import alone as one_device
from sparsebench.trainer import Backend
from sparsebench.worker import Failed, Report


def absent(backends: Iterable[str], device: str, devices: int = 1) -> list[str]:
    """A line for each backend that cannot use so many of the device. All can use the CPU and are not asked."""
    jobs = [pool.Job(name, name, (name, device, devices)) for name in sorted(backends)] if device != "cpu" else []
    if not jobs:
        return []
    with tempfile.TemporaryDirectory() as folder:
        answers = {job.id: event for job, event in pool.run(_open, jobs, len(jobs), Path(folder) / "log")}
    return [_told(name, answer) for name, answer in sorted(answers.items()) if isinstance(answer, Failed)]


def _open(asked: tuple[str, str, int], report: Report) -> None:
    name, device, devices = asked
    backend = plugins.load("backends", name)
    backend.trainer(device)
    there = backend.spread.count(device) if backend.spread and devices > 1 else None
    if there is not None and devices > there:
        raise UserError(f"--devices {devices}: backend {name!r} sees {there} {device} here: give at most {there}")


def check_devices(prepared: Prepared, devices: int) -> None:
    """Refuse what cannot be shared by so many devices.

    Raises:
        UserError: the backend trains on one, or needs a launcher that it cannot start, or its batches have no equal
            shares.
    """
    if devices == 1:
        return
    backend, recipe = prepared.backend, prepared.task.recipe
    if backend.spread is None:
        raise one_device(backend)
    if not (backend.spread.alone or backend.spread.starter or launched()):
        raise UserError(
            f"backend {backend.name!r} cannot start {devices} processes: start them, as torchrun or srun do"
        )
    check_shares(recipe.batch_size // recipe.accumulation, devices)


def starting(backend: Backend) -> Callable[[int], Sequence[str]] | None:
    """How a backend that needs a process for each device starts them; None: one process drives them all."""
    return None if backend.spread is None or backend.spread.alone else backend.spread.starter


def several(devices: int) -> int:
    """How many devices a run is trained on: as many as a launcher has started processes, or as was asked for.

    Raises:
        UserError: both say something, and not the same.
    """
    launch = launched()
    if launch and devices not in (1, launch.devices):
        raise UserError(f"--devices {devices}, and {launch.devices} processes were started: leave --devices out")
    return launch.devices if launch else devices


def _told(backend: str, failed: Failed) -> str:
    """A user's mistake in the backend's own words; anything else with its name."""
    return f"backend {backend!r} cannot be started: {failed.reason}" if failed.logged else failed.reason
