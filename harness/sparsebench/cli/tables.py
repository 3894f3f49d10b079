"""Tables on standard output, wide enough for their columns wherever they go."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 200
"""Where the terminal is narrower, or there is none: lines run over instead of losing figures."""


PAGE = 100
"""Characters of a line of prose."""


def wrapped(text: str) -> list[str]:
    """Lines of prose, those after the first indented."""
    return textwrap.wrap(text, PAGE, subsequent_indent="  ", break_on_hyphens=False)


@dataclass(frozen=True)
class Column:
    """How the values of a column are written."""

    write: Callable[[Any], str] = str
    justify: Literal["left", "right"] = "right"


TEXT = Column(justify="left")
COUNT = Column("{:,}".format)
SHARE = Column("{:.6f}".format)


def show(columns: Sequence[tuple[str, Column]], rows: Sequence[Sequence[Any]], total: Sequence[Any] = ()) -> None:
    """Print rows under their headings, and the total below a line."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=bool(total), pad_edge=False)
    for i, (heading, column) in enumerate(columns):
        footer = _written(column, total[i]) if total else ""
        table.add_column(heading, footer, justify=column.justify, no_wrap=True)
    for row in rows:
        table.add_row(*(_written(column, value) for (_, column), value in zip(columns, row, strict=True)))
    console = Console(file=sys.stdout, highlight=False, markup=False)
    console.width = max(WIDTH, console.width)
    console.print(table)


def _written(column: Column, value: Any) -> str:
    if isinstance(value, str):
        return value
    return "unknown" if math.isnan(value) else column.write(value)


def shape(sides: Sequence[int]) -> str:
    """64 × 3 × 7 × 7."""
    return " × ".join(map(str, sides))


PREFIXES = {1e18: "E", 1e15: "P", 1e12: "T", 1e9: "G", 1e6: "M", 1e3: "K"}


def unit(count: float) -> tuple[float, str]:
    """The largest unit that leaves a count at least 1: its size and its name."""
    return next(((size, f"{prefix}FLOPs") for size, prefix in PREFIXES.items() if count >= size), (1.0, "FLOPs"))


def flops(count: float) -> str:
    """8.178 GFLOPs."""
    size, name = unit(count)
    return "unknown" if math.isnan(count) else f"{count / size:.4g} {name}"


def per_mille(count: float) -> tuple[Column, str]:
    """A column of parts of a count, in the unit below the one that suits the whole, and that unit's name."""
    size, name = unit(count / 1000)
    return Column(lambda part: f"{part / size:,.2f}"), name
