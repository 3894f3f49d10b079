"""What so many seeds could have shown: the smallest difference that a paired t-test finds four times in five."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from sparsebench_board.extra import needs_board
from sparsebench_board.intervals import quantile

POWER = 0.8


def detectable(differences: Sequence[float]) -> float | None:
    """δ · s / √n, with s the standard deviation of n paired differences: the true difference of which a two-sided
    paired t-test at 5 %, alone and uncorrected, would be sure with a chance of 80 %.

    δ solves P(T′(n − 1, δ) > t(0.975, n − 1)) = 0.8, with T′ noncentral t; that a test says "different" with the wrong
    sign is left out (its chance is below 1e-5). None where nothing is spread.
    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), chapter 2.

    Raises:
        UserError: scipy is not installed.
    """
    if len(differences) < 2 or min(differences) == max(differences):
        return None
    return noncentrality(len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))


def noncentrality(freedom: int) -> float:
    """δ, in standard errors of the mean: 16.3, 5.7, 4.1 for 2, 3, 4 seeds, and 2.8 for many."""
    with needs_board("scipy"):
        from scipy.special import nctdtrinc
    return float(nctdtrinc(freedom, 1 - POWER, quantile(freedom)))
