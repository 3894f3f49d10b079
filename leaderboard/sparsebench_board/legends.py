"""How the numbers of a view are made, in a line each, for below its tables."""

from __future__ import annotations

from collections.abc import Sequence

from sparsebench_board import labels
from sparsebench_board.groups import unranked
from sparsebench_board.intervals import MANY, Interval
from sparsebench_board.resampling import RESAMPLES
from sparsebench_board.rows import Row

TEST = "two-sided paired t-test over common seeds"
HOLM = "corrected by Holm"
DETECTABLE = (
    "could show: the smallest true difference, in points, that one such test (at 5 %, uncorrected) over these seeds "
    "would find with a chance of 80 %, by the spread seen"
)


def accuracy(spreads: Sequence[Interval]) -> list[str]:
    """Which intervals were used."""
    kinds = {spread.kind for spread in spreads}
    student = "accuracy: mean ± 95 % Student-t interval over seeds" + (f", fewer than {MANY}" if "bca" in kinds else "")
    bootstrap = (
        f"accuracy [from, to]: mean and 95 % BCa bootstrap interval over {MANY} seeds or more, {RESAMPLES:,} resamples"
    )
    equal = "± 0.00: all seeds reached the same, which tells nothing of how far others would differ"
    return [
        *([bootstrap] if "bca" in kinds else []),
        *([student] if kinds & {"t", "equal"} or not kinds else []),
        *([equal] if "equal" in kinds else []),
        *(["accuracy of a single seed: without an interval"] if "none" in kinds else []),
    ]


def left_out(rows: Sequence[Row]) -> list[str]:
    """Rows that lack seeds, by name."""
    names = [f"{row.method} {row.sparsity:g} {row.backend} (no {labels.spans(row.missing)})" for row in unranked(rows)]
    return [f"left out, for they lack seeds: {', '.join(names)}"] if names else []
