"""Where a run happened: hardware, versions, commit. Recorded with every result, never part of its identity."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sparsebench
from sparsebench.settings import differing, flat

if TYPE_CHECKING:
    from sparsebench.trainer import Backend


DECIDING = ("cpu", "threads", "device", "packages")


def describe(backend: Backend, device: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """The record's `environment.json`, with the versions of these packages too."""
    return {
        "sparsebench": sparsebench.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "threads": threads(),
        "device": device,
        "packages": {
            name: importlib.metadata.version(name) for name in ("numpy", "pillow", *backend.packages, *packages)
        },
        "started": now(),
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not the same in two descriptions, of all that the bits of a result may depend on."""
    there, here = ({name: found.get(name) for name in DECIDING} for found in (before, after))
    return differing(dict(flat(there)), dict(flat(here)))


def now() -> str:
    """This moment, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit() -> str | None:
    """The checkout's commit, with `+` if files differ from it; None outside a checkout of this project."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    head = _git(here, "rev-parse", "--short=12", "HEAD")
    return head and head + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],  # killed, it leaves no lock behind
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
