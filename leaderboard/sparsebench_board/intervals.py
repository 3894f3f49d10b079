"""Means and their 95 % intervals over seeds: Student's t, two-sided, because three seeds are not a normal sample."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from sparsebench_board.extra import needs_board

LEVEL = 0.95


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, rounded once: equal values have that value as their mean."""
    return statistics.mean(values)


def half_width(values: Sequence[float]) -> float | None:
    """t(0.975, n − 1) · s / √n, with s the sample's standard deviation; None for a single value: it has no spread.

    Raises:
        UserError: scipy is not installed.
    """
    if len(values) < 2:
        return None
    return _quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def _quantile(freedom: int) -> float:
    """Student's t quantile; from scipy.special, which loads in a third of the time of scipy.stats."""
    with needs_board("scipy"):
        from scipy.special import stdtrit
    return float(stdtrit(freedom, (1 + LEVEL) / 2))
