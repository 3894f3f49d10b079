"""How the numbers of a view are made, in a line each, for below its tables."""

from __future__ import annotations

from collections.abc import Sequence

from sparsebench_board import labels
from sparsebench_board.groups import unranked
from sparsebench_board.intervals import MANY
from sparsebench_board.resampling import RESAMPLES
from sparsebench_board.rows import Row

TEST = "two-sided paired t-test over common seeds"
HOLM = "corrected by Holm"
DETECTABLE = (
    "could show: the smallest true difference, in points, that one such test (at 5 %, uncorrected) over these seeds "
    "would find with a chance of 80 %, by the spread seen"
)


SURVIVORS = " †"
"""Marks a mean over the seeds that did not diverge."""


def accuracy(rows: Sequence[Row]) -> list[str]:
    """Which intervals were used."""
    kinds = {row.accuracy_interval for row in rows if row.accuracy is not None}
    student = "accuracy: mean ± 95 % Student-t interval over seeds" + (f", fewer than {MANY}" if "bca" in kinds else "")
    bootstrap = (
        f"accuracy [from, to]: mean and 95 % BCa bootstrap interval over {MANY} seeds or more, {RESAMPLES:,} resamples"
    )
    equal = "± 0.00: all seeds reached the same, which tells nothing of how far others would differ"
    return [
        *([bootstrap] if "bca" in kinds else []),
        *([student] if kinds & {"t", "equal"} or not rows else []),
        *([equal] if "equal" in kinds else []),
        *(["accuracy of a single seed: without an interval"] if "none" in kinds else []),
    ]


def unfinished(rows: Sequence[Row]) -> list[str]:
    """What rows that rank with nothing are, where there are any."""
    lost = any(row.accuracy is None for row in rows)
    left = any(row.diverged and row.accuracy is not None for row in rows)
    survivors = "; †: mean over the seeds that did not diverge, which flatters" if left else ""
    none = "; without an accuracy: every seed did, costs are those until then" if lost else ""
    return [
        *(["rows that lack seeds come last and rank with nothing"] if any(row.missing for row in rows) else []),
        *(
            [f"rows of which a seed diverged come last and rank with nothing{survivors}{none}"]
            if any(row.diverged for row in rows)
            else []
        ),
    ]


def left_out(rows: Sequence[Row]) -> list[str]:
    """Rows that rank with nothing, by name."""
    lacking = [f"{_name(row)} (no {labels.spans(row.missing)})" for row in unranked(rows) if not row.diverged]
    return [*([f"left out, for they lack seeds: {', '.join(lacking)}"] if lacking else []), *diverged(rows)]


def diverged(rows: Sequence[Row]) -> list[str]:
    """Rows of which a seed diverged, by name."""
    names = [f"{_name(row)} ({labels.spans(row.diverged)})" for row in rows if row.diverged]
    return [f"left out, for seeds of theirs diverged: {', '.join(names)}"] if names else []


def _name(row: Row) -> str:
    return f"{row.method} {row.sparsity:g} {row.backend}"
