"""`--references`: published rows in tables of their own below the measured ones that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sparsebench.config import digits
from sparsebench_board import labels
from sparsebench_board.columns import benchmarks, title
from sparsebench_board.references import Reference, matching
from sparsebench_board.rows import NO_DISTRIBUTION, Row
from sparsebench_board.sheets import Column, Sheet, View, lines
from sparsebench_board.table import board, sheet

COLUMNS = (
    Column[Reference]("method", lambda each: each.method, least=10),
    Column[Reference]("sparsity", lambda each: digits(each.sparsity), number=lambda each: each.sparsity),
    Column[Reference]("distrib.", lambda each: each.distribution or NO_DISTRIBUTION),
    Column[Reference]("length", lambda each: f"{digits(each.multiplier)}×", number=lambda each: each.multiplier),
    Column[Reference](
        "published %", lambda each: labels.percent(each.accuracy, None), number=lambda each: each.accuracy
    ),
    Column[Reference]("std", lambda each: labels.size(each.std), number=lambda each: each.std),
    Column[Reference]("train FLOPs", lambda each: _ratio(each.training_ratio), number=lambda each: each.training_ratio),
    Column[Reference](
        "infer FLOPs", lambda each: _ratio(each.inference_ratio), number=lambda each: each.inference_ratio
    ),
    Column[Reference]("source", lambda each: each.source, least=24),
)
NOTES = (
    "published, not measured here: other code and other hardware; ranked with nothing",
    "std: standard deviation over the source's seeds, where it is given; FLOPs as the source counts them",
)


def view(rows: Sequence[Row]) -> View:
    """The board, and below each of its sheets the published rows that fit; entries say which `kind` they are."""
    measured = board(rows)
    sheets = (part for group in benchmarks(rows) for part in (sheet(group), *_sheet(group)))
    entries = [{"kind": "measured", **entry, "std": None, "source": None} for entry in measured.entries]
    fields = ("kind", *measured.fields, "std", "source")
    empty: dict[str, Any] = dict.fromkeys(fields)
    entries += [empty | {"kind": "published"} | asdict(each) for each in matching(rows)]
    return View(tuple(sheets), fields, tuple(entries))


def _sheet(rows: Sequence[Row]) -> list[Sheet]:
    found = matching(rows)
    body = lines(COLUMNS, found, _sparsity)
    return [Sheet(f"published: {title(rows)}", (), COLUMNS, body, NOTES)] if found else []


def _sparsity(each: Reference) -> float:
    return each.sparsity


def _ratio(value: float | None) -> str:
    return "" if value is None else labels.ratio(value)
