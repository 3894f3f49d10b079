"""Interleaved timing: A, B, C, A, B, C …, so that a machine that drifts drifts for all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], object]
"""Something to time. It is over when it returns: on an accelerator it must wait."""
Seconds = NDArray[np.float64]


def interleaved(
    works: Mapping[str, Work], repeats: int, *, warmup: int = 2, until: float = math.inf, least: int = 1
) -> dict[str, Seconds]:
    """Seconds of each repeat of each piece of work, warm-up discarded; the order turns with every repeat.

    Once `time.perf_counter()` is past `until`, only what is left of the `least` repeats is done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for repeat in range(warmup + repeats):
        if repeat >= warmup + min(least, repeats) and time.perf_counter() > until:
            break
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(took(works[name]))
    return {name: np.array(values[warmup:]) for name, values in seconds.items()}


def took(work: Work) -> float:
    """Seconds of one run of `work`."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_a_row(work: Work, seconds: float, most: int = 1000) -> int:
    """How many runs one after another take about `seconds`, by the faster of two: from 1 to `most`."""
    return max(1, min(most, round(seconds / min(took(work), took(work)))))


def repeated(work: Work, count: int) -> Work:
    """`work`, `count` times in a row."""

    def several() -> None:
        for _ in range(count):
            work()

    return several
