"""What the device does at most: the rates that the floors of all other figures come from.

Memory by copying an array far larger than any cache, arithmetic by products of large square matrices; the best of all
installed frameworks counts, and the fastest of some runs.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sparsebench import plugins
from sparsebench.environment import threads
from sparsebench.hardware.kernels import Probe
from sparsebench.hardware.timing import Work, took

BYTES = 2**28
"""Of an array that is copied."""
SIDE = {"cpu": 2048, "cuda": 8192}
"""Of a square matrix that is multiplied by another, by device."""
RUNS = 10

Document = dict[str, Any]


def measure(backends: Sequence[str], device: str, seconds: float) -> Document:
    """The highest rate of each kind, and what reached it; probes that do not run are missing."""
    asked = [probe for name in backends for probe in plugins.load("backends", name).hardware(device).probes]
    asked += _of_numpy() if device == "cpu" else []
    best: dict[str, Document] = {}
    missing: list[Document] = []
    for probe in asked:
        try:
            rate = _rate(probe, seconds / len(asked))
        except (RuntimeError, ValueError) as error:
            missing.append({"what": f"{probe.name} {probe.of}", "reason": " ".join(str(error).split())[:200]})
            continue
        if rate > best.get(probe.of, {"rate": 0.0})["rate"]:
            best[probe.of] = {"rate": rate, "by": probe.name}
    return {"ceilings": {"memory": best.pop("memory", None), "products": best}, "missing": missing}


def operations(side: int) -> float:
    """Of the product of two square matrices."""
    return 2.0 * side**3


def _rate(probe: Probe, seconds: float) -> float:
    """By the fastest of a few runs after the first, in about `seconds`."""
    until = time.perf_counter() + seconds
    work, amount = probe.bind()
    work()
    fastest = took(work)
    for _ in range(RUNS - 1):
        if time.perf_counter() > until:
            break
        fastest = min(fastest, took(work))
    return amount / fastest


def _of_numpy() -> list[Probe]:
    return [Probe("numpy copy", "memory", _copy), Probe("numpy matmul", "float32", _product)]


def _copy() -> tuple[Work, float]:
    """In as many threads as there are cores: NumPy copies without the interpreter's lock."""
    source, target = np.ones(BYTES // 4, np.float32), np.empty(BYTES // 4, np.float32)
    places = np.linspace(0, target.size, threads() + 1).astype(int).tolist()
    parts = [slice(start, stop) for start, stop in itertools.pairwise(places)]

    def copy(part: slice) -> None:
        np.copyto(target[part], source[part])

    def work() -> None:
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(copy, parts))

    return work, 2.0 * BYTES


def _product() -> tuple[Work, float]:
    side = SIDE["cpu"]
    left, right = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    return lambda: left @ right, operations(side)
