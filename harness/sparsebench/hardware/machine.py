"""The machine that was measured, as far as it tells: what a reader needs to place the figures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsebench import environment
from sparsebench.trainer import Backend

QUERIED = ("name", "driver_version", "memory.total", "clocks.sm", "clocks.max.sm", "clocks.mem")


def described(backends: Sequence[Backend], device: str) -> dict[str, Any]:
    """Device, processor, clocks and versions, of all backends together."""
    each = [environment.describe(backend, device) for backend in backends]
    packages = {name: version for one in each for name, version in one["packages"].items()}
    return each[0] | {"packages": packages, "cpu_mhz": cpu_mhz(), "gpu": gpu() if device == "cuda" else None}


def cpu_mhz() -> float | None:
    """The mean clock of the processor's cores at this moment."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return round(sum(clocks) / len(clocks)) if clocks else None


def gpu() -> dict[str, str] | None:
    """What `nvidia-smi` says of the first GPU that is visible; None: it is not there or says nothing."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    asked = ["nvidia-smi", f"--id={chosen}", f"--query-gpu={','.join(QUERIED)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    values = [value.strip() for value in done.stdout.partition("\n")[0].split(",")]
    return dict(zip(QUERIED, values, strict=True)) if len(values) == len(QUERIED) else None
