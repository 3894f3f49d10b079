"""Views as text: a table for people (colours on a terminal only), Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from sparsebench.errors import unknown
from sparsebench.terminal import Terminal
from sparsebench_board import labels
from sparsebench_board.sheets import Column, Sheet, View

WIDTH = 100
GAP = 2
NOTHING = "no finished runs yet: try `sparsebench run quick`"
FORMULA = ("=", "+", "-", "@")
"""What begins a formula in a spreadsheet."""


def formatted(view: View, format: str) -> str:
    """The view in one of `FORMATS`.

    Raises:
        UserError: no such format.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    return FORMATS[format](view)


# ---- for people -----------------------------------------------------------------------------------------------


def table(view: View) -> str:
    """One table for each sheet, at most as wide as the terminal, or 100 columns where there is none.

    Where names and settings cannot be broken any further the table is wider: numbers are never cut.
    """
    if not view.sheets:
        return NOTHING + "\n"
    terminal = Terminal()
    width = terminal.width if terminal.is_terminal else WIDTH
    return "\n".join(_one_table(sheet, terminal.is_terminal, width) for sheet in view.sheets)


def _one_table(sheet: Sheet, colours: bool, width: int) -> str:
    widths = _widths(sheet, width)
    stream = io.StringIO()
    console = Terminal(stream, max(width, sum(widths) + GAP * len(widths)), colours)
    above = [Text(sheet.title, style="bold"), *(Text(line, style="dim") for line in sheet.preamble)]
    below = [Text(line, style="dim") for line in sheet.notes]
    console.print(*above, "", _grid(sheet, widths), "", *below, sep="\n")
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _grid(sheet: Sheet, widths: Sequence[int]) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column, width in zip(sheet.columns, widths, strict=True):
        grid.add_column(_header(column), justify="right" if column.right else "left", width=width, overflow="fold")
    for line, after in zip(sheet.lines, [*sheet.lines[1:], None], strict=True):
        last = after is not None and after.section != line.section
        grid.add_row(*map(Text, line.texts), style="dim" if line.dim else "", end_section=last)
    return grid


def _widths(sheet: Sheet, room: int) -> list[int]:
    """Of each column: as wide as its texts; while that is too much, the one with most to give loses one."""
    headers = [max(map(cell_len, _header(column).split("\n"))) for column in sheet.columns]
    widths = [
        max(header, *(cell_len(line.texts[i]) for line in sheet.lines)) if sheet.lines else header
        for i, header in enumerate(headers)
    ]
    least = [
        min(width, max(header, column.least)) if column.least else width
        for column, width, header in zip(sheet.columns, widths, headers, strict=True)
    ]
    room -= GAP * (len(widths) - 1)
    while sum(widths) > room and widths != least:
        most = max(range(len(widths)), key=lambda i: widths[i] - least[i])
        widths[most] -= 1
    return widths


def _header(column: Column[Any]) -> str:
    return column.title.replace(" FLOPs", "\nFLOPs")


# ---- for documents and programs -------------------------------------------------------------------------------


def markdown(view: View) -> str:
    """GitHub's Markdown, a heading and a table for each sheet."""
    return "\n".join(_markdown(sheet) for sheet in view.sheets) or NOTHING + "\n"


def _markdown(sheet: Sheet) -> str:
    lines = [
        f"### {escaped(sheet.title)}", "",
        *(f"- {escaped(line)}" for line in sheet.preamble), *([""] if sheet.preamble else []),
        _line([escaped(column.title) for column in sheet.columns]),
        _line(["---:" if column.right else ":---" for column in sheet.columns]),
        *(_line(list(map(escaped, line.texts))) for line in sheet.lines), "",
        *(f"- {escaped(line)}" for line in sheet.notes), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~#$])", r"\\\1", text)


def comma_separated(view: View) -> str:
    """A header and a line for each entry; lists are separated by spaces, and no text is a formula (`defused`)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(view.fields)
    writer.writerows([_flat(entry[name]) for name in view.fields] for entry in view.entries)
    return stream.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, tuple):
        return defused(labels.plain(" ".join(map(str, value))))
    if isinstance(value, Mapping):
        return defused(labels.plain(labels.pairs(value)))
    return defused(labels.plain(value)) if isinstance(value, str) else value


def defused(text: str) -> str:
    """Text that a spreadsheet takes for text: an apostrophe goes before what it would compute."""
    return f"'{text}" if text.startswith(FORMULA) else text


def objects(view: View) -> str:
    """A JSON list with an object for each entry."""
    return json.dumps(view.entries, indent=1, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[View], str]] = MappingProxyType(
    {"table": table, "md": markdown, "csv": comma_separated, "json": objects}
)
