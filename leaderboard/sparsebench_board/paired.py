"""The difference between two rows, seed by seed: what the seeds share (weights, data order) cancels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sparsebench.errors import UserError, unknown
from sparsebench_board.intervals import half_width, mean
from sparsebench_board.rows import Row


@dataclass(frozen=True)
class Difference:
    """Mean of the differences in accuracy (fractions) and their 95 % half-width; None for a single common seed."""

    mean: float
    ci95: float | None
    seeds: tuple[int, ...]

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0; a single seed is never clear."""
        return self.ci95 is not None and abs(self.mean) > self.ci95


def difference(row: Row, baseline: Row) -> Difference:
    """Accuracy of `row` less that of `baseline` over the seeds that both have.

    Raises:
        UserError: they have no seed in common, or scipy is not installed.
    """
    ours, theirs = (dict(zip(each.seeds, each.accuracies, strict=True)) for each in (row, baseline))
    common = tuple(sorted(ours.keys() & theirs.keys()))
    if not common:
        raise UserError(
            f"{row.method!r} has seeds {list(row.seeds)} and {baseline.method!r} has {list(baseline.seeds)}: "
            "none in common; run both with the same seeds"
        )
    values = [ours[seed] - theirs[seed] for seed in common]
    return Difference(mean(values), half_width(values), common)


def compared(rows: Sequence[Row], method: str) -> list[Row]:
    """Every row with its difference to the row of `method` that is like it in all else; None where there is none.

    A row of a dense method is like all of its model, data set, length, settings and backend. Settings that only the row
    has, those of a method of its own, do not make it unlike.

    Raises:
        UserError: no row is of that method.
    """
    if all(row.method != method for row in rows):
        raise unknown("method in --against", method, {row.method for row in rows})
    return [_compared(row, [other for other in rows if other.method == method and _alike(row, other)]) for row in rows]


def _alike(row: Row, baseline: Row) -> bool:
    def circumstances(row: Row) -> tuple[object, ...]:
        return row.model, row.dataset, row.multiplier, row.backend

    shared = all(name in row.settings and row.settings[name] == value for name, value in baseline.settings.items())
    same = (row.sparsity, row.distribution) == (baseline.sparsity, baseline.distribution)
    return shared and circumstances(row) == circumstances(baseline) and (same or not baseline.sparsity)


def _compared(row: Row, baselines: Sequence[Row]) -> Row:
    for baseline in baselines:
        if baseline is not row and set(row.seeds) & set(baseline.seeds):
            found = difference(row, baseline)
            return replace(row, baseline=baseline.method, difference=found.mean, difference_ci95=found.ci95)
    return row
