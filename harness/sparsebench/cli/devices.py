"""Is the device there? Each backend is asked in a process of its own: a framework would hold on to it in ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from sparsebench import plugins, pool
from sparsebench.worker import Failed, Report


def absent(backends: Iterable[str], device: str) -> list[str]:
    """A line for each backend that cannot use the device. All can use the CPU and are not asked."""
    jobs = [pool.Job(name, name, (name, device)) for name in sorted(backends)] if device != "cpu" else []
    if not jobs:
        return []
    with tempfile.TemporaryDirectory() as folder:
        answers = {job.id: event for job, event in pool.run(_open, jobs, len(jobs), Path(folder) / "log")}
    return [_told(name, answer) for name, answer in sorted(answers.items()) if isinstance(answer, Failed)]


def _open(asked: tuple[str, str], report: Report) -> None:
    name, device = asked
    plugins.load("backends", name).trainer(device)


def _told(backend: str, failed: Failed) -> str:
    """A user's mistake in the backend's own words; anything else with its name."""
    return f"backend {backend!r} cannot be started: {failed.reason}" if failed.logged else failed.reason
