"""Tables on standard output, wide enough for their columns wherever they go."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table

from sparsebench.printing import printable
from sparsebench.terminal import Terminal

GAP = 2
WIDTH = 200
"""Where the terminal is narrower, or there is none: lines run over instead of losing figures."""
PAGE = 100
"""Characters of a line of prose, and of a table that is made to fit, where there is no terminal."""


def wrapped(text: str) -> list[str]:
    """Lines of prose, those after the first indented."""
    return textwrap.wrap(text, PAGE, subsequent_indent="  ", break_on_hyphens=False)


@dataclass(frozen=True)
class Column:
    """How the values of a column are written; `least` is the width down to which a table may break them over lines."""

    write: Callable[[Any], str] = str
    justify: Literal["left", "right"] = "right"
    least: int = 0


TEXT, RIGHT = Column(justify="left"), Column()
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
    console = Terminal()
    console.width = max(WIDTH, console.width)
    console.print(table)


def fit(columns: Sequence[tuple[str, Column]], rows: Sequence[Sequence[str]]) -> None:
    """Print texts under their headings, in a table as wide as the terminal where columns can be broken that far."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    console = Terminal()
    rows = [[*map(printable, row)] for row in rows]
    texts = [[*heading.split("\n"), *(row[i] for row in rows)] for i, (heading, _) in enumerate(columns)]
    widths = [max(map(cell_len, column)) for column in texts]
    excess = sum(widths) + GAP * (len(widths) - 1) - (console.width if console.is_terminal else PAGE)
    for (heading, column), width in zip(columns, widths, strict=True):
        taken = max(min(width, column.least), width - max(0, excess)) if column.least else width
        excess -= width - taken
        table.add_column(heading, justify=column.justify, width=taken, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.width = max(WIDTH, console.width)
    console.print(table)


def _written(column: Column, value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
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
