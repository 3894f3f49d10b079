"""`--view frameworks`: torch less jax, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sparsebench_board import labels, legends
from sparsebench_board.columns import ACCURACY, BACKEND, identity, settings
from sparsebench_board.frameworks import Twins, single, twins
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.views import shared

ROW = ("model", "dataset", "method", "sparsity", "distribution", "multiplier")
SIDE = ("cell", "backend", "accuracy", "accuracy_low", "accuracy_high", "accuracy_interval", "seeds", "settings")
FIELDS = (
    *ROW, *(f"{side}_{name}" for side in ("first", "second") for name in SIDE), *shared.DIFFERENCE, "p_holm",
)  # fmt: skip
NOTES = (
    "difference: mean over the seeds of both, with its interval; ± 0.00: the same difference on every one",
    f"p: {legends.TEST}, {legends.HOLM} over all lines of the table",
    legends.DETECTABLE,
)
NAMED = 6
"""Rows in one backend alone that a note names; of more it tells the number."""


def view(rows: Sequence[Row]) -> View:
    """A sheet for each model and data set, and for each two backends."""
    return shared.view(rows, FIELDS, twins, _sheet, _entry)


def _sheet(rows: Sequence[Row], found: list[Twins]) -> Sheet:
    named = shared.of_rows(identity(rows), _first)
    several = len({pair.what for pair in found}) > 1
    columns = (
        *named,
        *((Column[Twins]("backends", lambda pair: pair.what),) if several else ()),
        replace(ACCURACY.of(_first), title=_side(found, 0)),
        replace(ACCURACY.of(_second), title=_side(found, 1)),
        Column[Twins](_between(found), lambda pair: shared.gain(pair.difference), number=shared.middle),
        Column[Twins]("p", shared.chance, number=shared.p_holm),
        Column[Twins]("could show", shared.could_show, number=shared.detectable),
        Column[Twins]("seeds", lambda pair: labels.spans(pair.difference.seeds), least=5),
        *shared.of_rows(settings(rows), _first),
    )
    body = lines(columns, found, lambda pair: pair.first.sparsity, _lacks, lambda pair: pair.first.cell)
    short = ["dim lines lack seeds that others have"] if any(map(_lacks, found)) else []
    return shared.sheet(rows, columns, body, *NOTES, *short, *legends.diverged(rows), *_single(rows, found))


def _lacks(pair: Twins) -> bool:
    return bool(pair.first.missing or pair.second.missing)


def _first(pair: Twins) -> Row:
    return pair.first


def _second(pair: Twins) -> Row:
    return pair.second


def _side(found: Sequence[Twins], place: int) -> str:
    names = {(pair.first, pair.second)[place].backend for pair in found}
    return labels.plain(f"{names.pop()} %") if len(names) == 1 else ("first %", "second %")[place]


def _between(found: Sequence[Twins]) -> str:
    names = {pair.what for pair in found}
    return labels.plain(names.pop()) if len(names) == 1 else "difference"


def _single(rows: Sequence[Row], found: Sequence[Twins]) -> list[str]:
    """Rows without a twin: by name, or their number where there are more than `NAMED`."""
    left = single(rows, found)
    if len(left) > NAMED:
        return [f"in one backend alone: {len(left)} rows"]
    facts = (*identity(rows), BACKEND, *settings(rows))
    names = [" ".join(text for fact in facts if (text := fact.text(row))) for row in left]
    return [f"in one backend alone: {', '.join(names)}"] if names else []


def _entry(pair: Twins) -> dict[str, Any]:
    sides = {
        f"{side}_{name}": getattr(row, name)
        for side, row in (("first", pair.first), ("second", pair.second))
        for name in SIDE
    }
    both = {name: getattr(pair.first, name) for name in ROW}
    return both | sides | shared.differing(pair.difference) | {"p_holm": pair.p_holm}
