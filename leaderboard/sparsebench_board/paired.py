"""The difference between two rows, seed by seed: what the seeds share (weights, data order) cancels out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sparsebench.errors import UserError, unknown
from sparsebench_board.extra import needs_board
from sparsebench_board.groups import family
from sparsebench_board.holm import holm_within
from sparsebench_board.intervals import Interval, interval, mean
from sparsebench_board.power import detectable
from sparsebench_board.rows import Row

DECIMALS = 12
"""Accuracies are counts out of a test set: what differs by less is rounding, and must not pass for a tiny spread."""


@dataclass(frozen=True)
class Difference:
    """Mean of the differences in accuracy (fractions) over `seeds`, with its 95 % interval.

    `p` is that of the paired test (`p_value`), `detectable` the smallest difference these seeds could have shown.
    """

    mean: float
    interval: Interval
    p: float | None
    detectable: float | None
    seeds: tuple[int, ...]

    @property
    def ci95(self) -> float | None:
        """Half the width of the interval; None for a single common seed."""
        return self.interval.half_width

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0; a single seed is never clear."""
        low, high = self.interval.low, self.interval.high
        return low is not None and high is not None and (low > 0 or high < 0)


def difference(row: Row, baseline: Row) -> Difference:
    """Accuracy of `row` less that of `baseline` over the seeds that both have.

    Raises:
        UserError: they have no seed in common, or scipy is not installed.
    """
    by_seed = differences(row, baseline)
    if not by_seed:
        raise UserError(
            f"{row.method!r} has seeds {list(row.seeds)} and {baseline.method!r} has {list(baseline.seeds)}: "
            "none in common; run both with the same seeds"
        )
    values = list(by_seed.values())
    return Difference(mean(values), interval(values), p_value(values), detectable(values), tuple(by_seed))


def differences(row: Row, other: Row) -> dict[int, float]:
    """Seed -> accuracy of `row` less that of `other`, for the seeds that both have."""
    theirs = dict(zip(other.seeds, other.accuracies, strict=True))
    ours = zip(row.seeds, row.accuracies, strict=True)
    return {seed: round(accuracy - theirs[seed], DECIMALS) for seed, accuracy in ours if seed in theirs}


def p_value(values: Sequence[float]) -> float | None:
    """Of the two-sided paired t-test that the mean difference is 0; None for fewer than two differences.

    Two methods that a seed cannot tell apart differ by as much to one side as to the other, and there the t-test errs
    to the safe side at any number of seeds (Efron, Student's t-test under symmetry conditions, JASA 64, 1969). So it
    is used for many seeds too: a test by flipping signs has no p below 2^(1−n), which no correction for 45 pairs
    leaves below 5 % for 8 seeds; and a bootstrap of t finds 2 standard deviations at 0.1 % one time in eight there,
    where t does three times in five.
    Equal differences other than 0 have no spread to compare with: theirs is the test by signs, exactly 2^(1−n).

    Raises:
        UserError: scipy is not installed.
    """
    count = len(values)
    if count < 2:
        return None
    if min(values) == max(values):
        return 2.0 ** (1 - count) if values[0] else 1.0
    with needs_board("scipy"):
        from scipy.special import stdtr
    middle = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (count - 1))
    return float(2 * stdtr(count - 1, -abs(middle) * math.sqrt(count) / spread))


# ---- against a baseline ---------------------------------------------------------------------------------------


def compared(rows: Sequence[Row], method: str) -> list[Row]:
    """Every row with its difference to the row of `method` that is like it in all else; None where there is none.

    A row of a dense method is like all of its model, data set, length, settings and backend. Settings that only the row
    has, those of a method of its own, do not make it unlike. `p_holm` is corrected over the rows of a model, data set
    and sparsity that have a baseline.

    A row of which a seed diverged has no difference, and none is taken to it: it would be over what is left.

    Raises:
        UserError: no row is of that method.
    """
    if all(row.method != method for row in rows):
        raise unknown("method in --against", method, {row.method for row in rows})
    return _corrected(
        [_compared(row, [other for other in rows if other.method == method and _alike(row, other)]) for row in rows]
    )


def _alike(row: Row, baseline: Row) -> bool:
    def circumstances(row: Row) -> tuple[object, ...]:
        return row.model, row.dataset, row.multiplier, row.backend

    shared = all(name in row.settings and row.settings[name] == value for name, value in baseline.settings.items())
    same = (row.sparsity, row.distribution) == (baseline.sparsity, baseline.distribution)
    return shared and circumstances(row) == circumstances(baseline) and (same or not baseline.sparsity)


def _compared(row: Row, baselines: Sequence[Row]) -> Row:
    for baseline in () if row.diverged else baselines:
        if not baseline.diverged and baseline is not row and set(row.seeds) & set(baseline.seeds):
            found = difference(row, baseline)
            return replace(
                row, baseline=baseline.method, difference=found.mean, difference_ci95=found.ci95,
                difference_low=found.interval.low, difference_high=found.interval.high,
                difference_interval=found.interval.kind, p=found.p, detectable=found.detectable,
            )  # fmt: skip
    return row


def _corrected(rows: Sequence[Row]) -> list[Row]:
    corrected = holm_within([family(row) for row in rows], [row.p for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]
