"""The best that a training budget buys: of all rows that cost no more, whatever their sparsity and length.

So a sparse run of five times the length stands beside a dense one that costs as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsebench.errors import UserError
from sparsebench_board.groups import benchmark, grouped, ranked
from sparsebench_board.holm import LEVEL, holm
from sparsebench_board.paired import Difference, differences, p_value
from sparsebench_board.rows import Row
from sparsebench_board.ties import best_first, to_best


@dataclass(frozen=True)
class Bought:
    """A row that a budget (as a share of dense training FLOPs at multiplier 1) buys: the best, or one tied with it.

    `difference` is to the best, `p_holm` the paired test's p, corrected over all rows that the budget buys.
    `of` is the number of those.
    """

    budget: float
    row: Row
    best: bool
    difference: Difference | None
    p_holm: float | None
    of: int


def parsed(text: str) -> tuple[float, ...]:
    """`0.25,0.5,1` as numbers, ascending.

    Raises:
        UserError: one is not a number above 0.
    """
    try:
        budgets = sorted({float(part) for part in text.split(",")})
    except ValueError:
        budgets = [0.0]
    if not 0 < budgets[0] <= budgets[-1] < float("inf"):
        raise UserError(f"--budget {text!r}: give shares of dense training FLOPs above 0, such as 0.25,0.5,1,2")
    return tuple(budgets)


def bought(rows: Sequence[Row], budgets: Sequence[float]) -> list[Bought]:
    """For each model and data set, and each budget, the best row and those tied with it; rows that lack seeds are out.

    Tied with the best is what the paired t-test, with Holm's correction over the comparisons with it, does not tell
    apart from it (p ≥ 5 %), or what cannot be tested. The best one of many is partly lucky: what is told apart from it
    here, and not in `ties`, where all pairs count, may yet be its equal.
    """
    groups = grouped(ranked(rows), benchmark)
    return [each for group in groups for budget in budgets for each in within(group, budget)]


def within(group: Sequence[Row], budget: float) -> list[Bought]:
    """What one budget buys of some rows, the best first; nothing where all cost more."""
    affordable = best_first(row for row in group if _costs_at_most(row, budget))
    rest = affordable[1:]
    corrected = holm([p_value(list(differences(row, affordable[0]).values())) for row in rest])
    kept = [(row, p) for row, p in zip(rest, corrected, strict=True) if p is None or p >= LEVEL]
    best = [Bought(budget, row, True, None, None, len(affordable)) for row in affordable[:1]]
    return best + [Bought(budget, row, False, to_best(row, affordable[0]), p, len(affordable)) for row, p in kept]


def _costs_at_most(row: Row, budget: float) -> bool:
    """False where nobody knows."""
    return row.training_ratio is not None and row.training_ratio <= budget
