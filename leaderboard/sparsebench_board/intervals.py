"""Means and their 95 % intervals over seeds: Student's t for a few seeds, the BCa bootstrap from `MANY` up.

Three seeds are too few to resample, and eight show whether they are lopsided, which a t interval cannot follow.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from sparsebench_board.extra import needs_board
from sparsebench_board.resampling import draws

LEVEL = 0.95
MANY = 8

Kind = Literal["none", "equal", "t", "bca"]
"""Of a single value; of equal values, with nothing between its ends; Student's t; the BCa bootstrap."""


@dataclass(frozen=True)
class Interval:
    """Both ends of a 95 % interval and what made it; no ends for a single value, and none apart for equal ones."""

    kind: Kind
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half of what lies between the ends; of a BCa interval, the mean is not in their middle."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, rounded once: equal values have that value as their mean."""
    return statistics.mean(values)


def interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean of some values, whose order means nothing.

    Raises:
        UserError: scipy is not installed.
    """
    if len(values) < 2:
        return Interval("none")
    if min(values) == max(values):
        return Interval("equal", values[0], values[0])
    return (_bca(tuple(values)) if len(values) >= MANY else None) or _student(values)


def half_width(values: Sequence[float]) -> float | None:
    """Half the width of the interval; None for a single value.

    Raises:
        UserError: scipy is not installed.
    """
    return interval(values).half_width


def _student(values: Sequence[float]) -> Interval:
    """Mean ± t(0.975, n − 1) · s / √n, with s the sample's standard deviation."""
    middle = mean(values)
    width = quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval("t", middle - width, middle + width)


@lru_cache(maxsize=4096)
def _bca(values: tuple[float, ...]) -> Interval | None:
    """Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987); None where rounding leaves it undefined.

    What `scipy.stats.bootstrap` computes, without the half second that its package takes to import.
    """
    with needs_board("scipy"):
        from scipy.special import ndtr, ndtri
    sample = np.sort(np.asarray(values, dtype=float))
    means = sample[draws(len(sample))].mean(axis=-1)
    middle = sample.mean()
    below = (np.count_nonzero(means < middle) + np.count_nonzero(means <= middle)) / (2 * len(means))
    without = np.array([np.delete(sample, place).mean() for place in range(len(sample))])
    pull = (len(sample) - 1) * (without.mean() - without)  # the influence of each value
    with np.errstate(all="ignore"):  # what is undefined is answered by the caller
        acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
        bias = ndtri(below)
        wanted = bias + ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        shares = ndtr(bias + wanted / (1 - acceleration * wanted))
    if not np.isfinite(shares).all():
        return None
    low, high = np.quantile(means, shares).tolist()
    return Interval("bca", low, high)


def quantile(freedom: int) -> float:
    """Student's t at 0.975; from scipy.special, which loads in a third of the time of scipy.stats.

    Raises:
        UserError: scipy is not installed.
    """
    with needs_board("scipy"):
        from scipy.special import stdtrit
    return float(stdtrit(freedom, (1 + LEVEL) / 2))
