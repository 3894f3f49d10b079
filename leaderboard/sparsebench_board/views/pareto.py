"""`--view pareto`: which rows nothing beats, for each cost, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sparsebench_board import labels, legends
from sparsebench_board.columns import ACCURACY, BACKEND, identity, settings
from sparsebench_board.fronts import COSTS, Standing, fronts
from sparsebench_board.resampling import RESAMPLES
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.views import shared

SHOWN: Mapping[str, tuple[str, Callable[[Row], str]]] = MappingProxyType(
    {
        "training_flops": ("train FLOPs", lambda row: labels.ratio(row.training_ratio)),
        "inference_flops": ("infer FLOPs", lambda row: labels.ratio(row.inference_ratio)),
        "bytes": ("size", lambda row: labels.amount(row.bytes, "B")),
        "seconds": ("seconds", lambda row: labels.speed(row.seconds)),
    }
)
FIELDS = (*shared.NAMED, *(name + what for name in COSTS for what in ("", "_front", "_chance")))
NOTES = (
    "*: on the front of accuracy against this cost: no row is as accurate for as little, and better in one of the two",
    "%: share of resamples in which it is; each draws seeds anew, the same for all rows, out of those that all have "
    f"(all ways, or {RESAMPLES:,} at random); costs stay",
    "seconds: a whole run's, with compilation and evaluation, median over seeds; compare those of one machine only",
)


def view(rows: Sequence[Row]) -> View:
    """A sheet for each model and data set, rows as on the board."""
    return shared.view(rows, FIELDS, fronts, _sheet, _entry)


def _sheet(rows: Sequence[Row], found: list[Standing]) -> Sheet:
    named = shared.of_rows((*identity(rows), BACKEND, ACCURACY), _row)
    columns = (*named, *map(_column, SHOWN), *shared.of_rows(settings(rows), _row))
    body = lines(columns, found, lambda standing: standing.row.sparsity, cell=lambda standing: standing.row.cell)
    return shared.sheet(rows, columns, body, *NOTES, *legends.left_out(rows))


def _row(standing: Standing) -> Row:
    return standing.row


def _column(cost: str) -> Column[Standing]:
    title, text = SHOWN[cost]

    def told(standing: Standing) -> str:
        chance = standing.chance[cost]
        parts = text(standing.row), "*" if standing.on[cost] else "", "" if chance is None else f"{chance:.0%}"
        return " ".join(part for part in parts if part)

    return Column(title, told, number=lambda standing: COSTS[cost](standing.row))


def _entry(standing: Standing) -> dict[str, Any]:
    own = {
        name + what: value
        for name, cost in COSTS.items()
        for what, value in (
            ("", cost(standing.row)), ("_front", standing.on[name]), ("_chance", standing.chance[name]),
        )
    }  # fmt: skip
    return shared.named(standing.row) | own
