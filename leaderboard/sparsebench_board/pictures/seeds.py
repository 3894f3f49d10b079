"""Curves of the seeds of a cell as one: their mean at each place that all have, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparsebench_board.intervals import quantile
from sparsebench_board.labels import spans

Points = Mapping[int, float]
"""Iteration -> value."""


@dataclass(frozen=True)
class Line:
    """Means at some places in ascending order; `low` and `high` are empty for a single seed."""

    x: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def line(seeds: Sequence[Points]) -> Line:
    """Student's t at each place, whatever the number of seeds: a bootstrap for each would take minutes.

    Raises:
        UserError: scipy is not installed.
    """
    places = sorted(set.intersection(*(set(points) for points in seeds))) if seeds else []
    values = np.array([[points[x] for x in places] for points in seeds], dtype=np.float64)
    if not places:
        return Line((), ())
    mean = values.mean(axis=0)
    if len(seeds) < 2:
        return Line(tuple(places), tuple(mean.tolist()))
    width = quantile(len(seeds) - 1) * values.std(axis=0, ddof=1) / math.sqrt(len(seeds))
    return Line(tuple(places), *(tuple(each.tolist()) for each in (mean, mean - width, mean + width)))


def notes(seeds: Sequence[Sequence[int]]) -> list[str]:
    """What lines and bands are, of cells with these seeds."""
    every = spans(sorted({seed for each in seeds for seed in each}))
    if all(len(each) < 2 for each in seeds):
        return [f"seed {every}" if every.isdigit() else f"one seed a line, of {every}"]
    return [f"means over seeds {every}; bands: 95 % Student-t intervals"]
