"""`--view budget`: the best row for at most so much of dense training's FLOPs, and what is tied with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsebench.config import digits
from sparsebench_board import legends
from sparsebench_board.budgets import Bought, bought
from sparsebench_board.columns import ACCURACY, BACKEND, SEEDS, TRAINING, identity, settings
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.views import shared

FIELDS = (
    "budget", *shared.NAMED, "training_flops", "training_ratio", "best", *shared.DIFFERENCE, "p_holm", "candidates",
)  # fmt: skip


def _row(each: Bought) -> Row:
    return each.row


OWN = (
    *shared.of_rows((TRAINING,), _row),
    Column[Bought](
        "to best",
        lambda each: f"best of {each.of}" if each.best else shared.gain(each.difference),
        number=lambda each: 0.0 if each.best else shared.middle(each),
    ),
    Column[Bought]("p", shared.chance, number=shared.p_holm),
    Column[Bought]("could show", shared.could_show, number=shared.detectable),
)
NOTES = (
    "budget: at most so much of the FLOPs of dense training at length 1×, whatever sparsity and length; "
    "the row with the best mean, and every row that cannot be told apart from it (p ≥ 0.05)",
    f"p: {legends.TEST}, to the best, {legends.HOLM} over all rows within the budget",
    legends.DETECTABLE,
)


def view(rows: Sequence[Row], budgets: Sequence[float]) -> View:
    """A sheet for each model and data set, a section for each budget."""
    return shared.view(
        rows, FIELDS, lambda group: bought(group, budgets), lambda group, found: _sheet(group, found, budgets), _entry
    )


def _sheet(rows: Sequence[Row], found: list[Bought], budgets: Sequence[float]) -> Sheet:
    within = Column[Bought]("budget", lambda each: f"{digits(each.budget)}×", number=lambda each: each.budget)
    columns = (
        within,
        *shared.of_rows((*identity(rows), BACKEND, ACCURACY), _row),
        *OWN,
        SEEDS.of(_row),
        *shared.of_rows(settings(rows), _row),
    )
    body = lines(columns, found, lambda each: each.budget, cell=lambda each: each.row.cell)
    idle = [digits(budget) for budget in budgets if budget not in {each.budget for each in found}]
    dear = [f"no row costs as little as {', '.join(f'{budget}×' for budget in idle)}"] if idle else []
    return shared.sheet(rows, columns, body, *NOTES, *legends.left_out(rows), *dear)


def _entry(each: Bought) -> dict[str, Any]:
    own = {
        "budget": each.budget, "training_flops": each.row.training_flops, "training_ratio": each.row.training_ratio,
        "best": each.best, "p_holm": each.p_holm, "candidates": each.of,
    }  # fmt: skip
    return shared.named(each.row) | own | shared.differing(each.difference)
