"""Interleaved timing: A, B, C, A, B, C …, so that a machine that drifts drifts for all of them alike."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import numpy as np
from scipy import stats


def interleaved(works: Mapping[str, Callable[[], None]], repeats: int, warmup: int = 2) -> dict[str, np.ndarray]:
    """Seconds of each repeat of each piece of work, warm-up discarded; the order turns with every repeat."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for repeat in range(repeats + warmup):
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            began = time.perf_counter()
            works[name]()
            seconds[name].append(time.perf_counter() - began)
    return {name: np.array(values[warmup:]) for name, values in seconds.items()}


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> dict[str, float]:
    """Median of the paired ratios and its 95 % interval (bootstrap over repeats)."""
    paired = numerator / denominator
    interval = stats.bootstrap((paired,), np.median, method="basic", rng=0).confidence_interval
    return {"median": float(np.median(paired)), "low": float(interval.low), "high": float(interval.high)}


def machine() -> dict[str, object]:
    """What a reader needs to place the figures."""
    packages = {name: version(name) for name in ("numpy", "torch", "jax")}
    return {"platform": platform.platform(), "cores": len(os.sched_getaffinity(0)), **packages}


def arguments(description: str | None, repeats: int) -> argparse.Namespace:
    """The options every benchmark here has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats)
    return parser.parse_args()


def show(**results: object) -> None:
    """Results as JSON, machine first."""
    print(json.dumps({"machine": machine(), **results}, indent=1))
