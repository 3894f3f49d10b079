"""What paired times say: the median of their ratios, and where it lies with 95 % confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsebench.hardware.timing import Seconds

FEWEST = 6
"""Pairs that an interval needs: the median of fewer lies outside all of them with a chance of 2 · 0.5^n > 5 %."""
RESAMPLES = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of `pairs` paired ratios and its 95 % interval; without bounds where there were too few pairs."""

    median: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def clear(self) -> bool:
        """Whether there is an interval and 1 lies outside of it: anything else shows no difference."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def ratio(numerator: Seconds, denominator: Seconds) -> Ratio:
    """Of neighbouring times: repeat i of the one over repeat i of the other, at least one repeat."""
    paired = numerator / denominator
    low, high = bounds(paired) if len(paired) >= FEWEST else (None, None)
    return Ratio(float(np.median(paired)), low, high, len(paired))


def bounds(values: Seconds) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval of the median, the same for the same values; within their range."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(values[drawn], axis=1), [0.025, 0.975])
    return float(low), float(high)
