"""Questions that are asked in processes of their own: what is broken there, or crashes, breaks nothing here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsebench.executors import pool
from sparsebench.worker import Event, Failed, Finished, Work


def asked(work: Work, arguments: Mapping[str, Any]) -> dict[str, Finished | Failed]:
    """How `work` ended for each argument, a process for each, by name."""
    jobs = [pool.Job(name, name, argument) for name, argument in arguments.items()]
    ends: dict[str, Finished | Failed] = {}
    with tempfile.TemporaryDirectory() as folder:
        for job, event in pool.run(work, jobs, len(pool.available_cores()), Path(folder) / "log"):
            _note(ends, job.id, event)
    return ends


def _note(ends: dict[str, Finished | Failed], name: str, event: Event) -> None:
    if isinstance(event, Finished | Failed):
        ends[name] = event
