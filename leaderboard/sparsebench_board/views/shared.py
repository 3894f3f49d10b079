"""What several views have in common: columns of rows, the fields that name a row, the sheet around its lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sparsebench_board import labels, legends
from sparsebench_board.columns import benchmarks, preamble, sharing, title
from sparsebench_board.paired import Difference
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Line, Sheet, View

T = TypeVar("T")

NAMED = (
    "cell", "model", "dataset", "method", "sparsity", "distribution", "multiplier", "backend", "settings",
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_interval", "seeds",
)  # fmt: skip
"""Fields of a row that say which it is and what it reached."""
DIFFERENCE = (
    "difference", "difference_low", "difference_high", "difference_interval", "difference_seeds", "detectable",
)  # fmt: skip


class Different(Protocol):
    """What differs from something else, as a corrected test sees it."""

    @property
    def difference(self) -> Difference | None:
        """None where there is nothing to compare with."""
        ...

    @property
    def p_holm(self) -> float | None:
        """None where it cannot be tested."""
        ...


def named(row: Row) -> dict[str, Any]:
    """The fields `NAMED` of a row."""
    return {name: getattr(row, name) for name in NAMED}


def differing(found: Difference | None) -> dict[str, Any]:
    """The fields `DIFFERENCE` of a difference, all None where there is none."""
    if found is None:
        return dict.fromkeys(DIFFERENCE)
    spread = found.interval
    values = (found.mean, spread.low, spread.high, spread.kind, found.seeds, found.detectable)
    return dict(zip(DIFFERENCE, values, strict=True))


def gain(found: Difference | None) -> str:
    """A difference and its interval as text."""
    return "" if found is None else labels.gain(found.mean, found.interval)


def middle(item: Different) -> float | None:
    """Its mean difference, to sort by."""
    return item.difference.mean if item.difference else None


def chance(item: Different) -> str:
    """Its corrected p, as text."""
    return labels.chance(item.p_holm)


def p_holm(item: Different) -> float | None:
    """Its corrected p."""
    return item.p_holm


def could_show(item: Different) -> str:
    """The smallest difference that could have been shown, as text."""
    return labels.size(detectable(item))


def detectable(item: Different) -> float | None:
    """The smallest difference that could have been shown."""
    return item.difference.detectable if item.difference else None


def of_rows(columns: Sequence[Column[Row]], row: Callable[[T], Row]) -> tuple[Column[T], ...]:
    """Columns of rows, for items that have one."""
    return tuple(column.of(row) for column in columns)


def view(
    rows: Sequence[Row],
    fields: Sequence[str],
    find: Callable[[Sequence[Row]], list[T]],
    sheet: Callable[[Sequence[Row], list[T]], Sheet],
    entry: Callable[[T], dict[str, Any]],
) -> View:
    """What is found of each model and data set as a sheet, and each item of it as an entry."""
    found = [(group, find(group)) for group in benchmarks(rows)]
    sheets = tuple(sheet(group, items) for group, items in found)
    entries = (entry(item) for _, items in found for item in items)
    return View(sheets, tuple(fields), tuple({name: each[name] for name in fields} for each in entries))


def sheet(rows: Sequence[Row], columns: Sequence[Column[Any]], body: Sequence[Line], *own: str) -> Sheet:
    """The sheet of a benchmark's rows, with what intervals are and a view's own notes."""
    told = (*sharing(rows), *legends.accuracy(rows), *own)
    return Sheet(title(rows), preamble(rows), tuple(columns), tuple(body), tuple(map(labels.plain, told)))
