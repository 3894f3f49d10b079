"""Rows as text: a table for people (colours on a terminal only), Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparsebench.errors import unknown
from sparsebench_board import labels
from sparsebench_board.columns import Column, benchmarks, cell, columns, notes, preamble, title
from sparsebench_board.rows import Row

WIDTH = 100
GAP = 2
NOTHING = "no finished runs yet: try `sparsebench run quick`"


def render(rows: Sequence[Row], format: str) -> str:
    """The rows in one of `FORMATS`.

    Raises:
        UserError: no such format.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    return FORMATS[format](rows)


# ---- for people -----------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """One table for each model and data set, at most as wide as the terminal, or 100 columns where there is none.

    Where names and settings cannot be broken any further the table is wider: numbers are never cut.
    """
    if not rows:
        return NOTHING + "\n"
    terminal = Console()
    width = terminal.width if terminal.is_terminal else WIDTH
    return "\n".join(_one_table(group, terminal.is_terminal, width) for group in benchmarks(rows))


def _one_table(group: Sequence[Row], colours: bool, width: int) -> str:
    shown = columns(group)
    texts = [[Text(cell(column, row)) for column in shown] for row in group]
    widths = _widths(shown, texts, width)
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=colours, highlight=False, width=max(width, sum(widths) + GAP * len(widths))
    )
    above = [Text(title(group), style="bold"), *(Text(line, style="dim") for line in preamble(group))]
    below = [Text(line, style="dim") for line in notes(group)]
    console.print(*above, "", _grid(group, shown, texts, widths), "", *below, sep="\n")
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _grid(
    group: Sequence[Row], shown: Sequence[Column], texts: Sequence[Sequence[Text]], widths: Sequence[int]
) -> Table:
    """Sections of equal sparsity; rows that lack seeds are dim."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column, width in zip(shown, widths, strict=True):
        grid.add_column(_header(column), justify="right" if column.right else "left", width=width, overflow="fold")
    for row, line, after in zip(group, texts, [*group[1:], None], strict=True):
        last = after is not None and _section(after) != _section(row)
        grid.add_row(*line, style="dim" if row.missing else "", end_section=last)
    return grid


def _widths(shown: Sequence[Column], texts: Sequence[Sequence[Text]], room: int) -> list[int]:
    """Of each column: as wide as its texts; while that is too much, the one with most to give loses one."""
    headers = [max(map(cell_len, _header(column).split("\n"))) for column in shown]
    widths = [max(header, *(line[i].cell_len for line in texts)) for i, header in enumerate(headers)]
    least = [
        min(width, max(header, column.least)) if column.least else width
        for column, width, header in zip(shown, widths, headers, strict=True)
    ]
    room -= GAP * (len(widths) - 1)
    while sum(widths) > room and widths != least:
        most = max(range(len(widths)), key=lambda i: widths[i] - least[i])
        widths[most] -= 1
    return widths


def _header(column: Column) -> str:
    return column.title.replace(" FLOPs", "\nFLOPs")


def _section(row: Row) -> tuple[bool, float]:
    return bool(row.missing), row.sparsity


# ---- for documents and programs -------------------------------------------------------------------------------


def markdown(rows: Sequence[Row]) -> str:
    """GitHub's Markdown, a heading and a table for each model and data set."""
    return "\n".join(_markdown(group) for group in benchmarks(rows)) or NOTHING + "\n"


def _markdown(group: Sequence[Row]) -> str:
    shown = columns(group)
    lines = [
        f"### {escaped(title(group))}", "",
        *(f"- {escaped(line)}" for line in preamble(group)), "",
        _line([column.title for column in shown]),
        _line(["---:" if column.right else ":---" for column in shown]),
        *(_line([escaped(cell(column, row)) for column in shown]) for row in group), "",
        *(f"- {escaped(line)}" for line in notes(group)), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~#$])", r"\\\1", text)


def comma_separated(rows: Sequence[Row]) -> str:
    """A header and a line for each row, every field of `Row`; lists are separated by spaces."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    writer.writerows([_flat(getattr(row, field.name)) for field in fields(Row)] for row in rows)
    return stream.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, tuple):
        return labels.plain(" ".join(map(str, value)))
    if isinstance(value, Mapping):
        return labels.plain(labels.pairs(value))
    return labels.plain(value) if isinstance(value, str) else value


def objects(rows: Sequence[Row]) -> str:
    """A JSON list with an object for each row, every field of `Row`."""
    return json.dumps([asdict(row) for row in rows], indent=1, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = MappingProxyType(
    {"table": table, "md": markdown, "csv": comma_separated, "json": objects}
)
