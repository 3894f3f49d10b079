"""The difference between two rows, seed by seed: what the seeds share (weights, data order) cancels out."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.errors import UserError
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
