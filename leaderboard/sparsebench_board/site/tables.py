"""A table as a page shows it: a sheet of the board, links to the pages of cells, and intervals as pictures."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from markupsafe import Markup

from sparsebench_board.sheets import Line, Sheet, View
from sparsebench_board.site.charts import Scale, Spread, scale, whisker

MORE = re.compile(r" ± | \[| \*| †| \d+%$")


@dataclass(frozen=True)
class Table:
    """A sheet; `pictures`, one for each line, stand before the column at `place`."""

    name: str
    sheet: Sheet
    pictures: tuple[Markup, ...] = ()
    place: int = -1

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [column.number is not None for column in self.sheet.columns]

    @property
    def wide(self) -> list[bool]:
        """Which columns hold more than a number: an interval, a mark, a chance."""
        columns = range(len(self.sheet.columns))
        return [any(parted(line.texts[i])[1] for line in self.sheet.lines) for i in columns]

    @property
    def sections(self) -> list[list[tuple[Line, Markup | None]]]:
        """Lines that stand together, each with its picture; lines that rank with nothing are last as they come."""
        pictures = self.pictures or (None,) * len(self.sheet.lines)
        pairs = zip(self.sheet.lines, pictures, strict=True)
        return [list(group) for _, group in groupby(pairs, key=_section)]


def _section(pair: tuple[Line, Markup | None]) -> Hashable:
    return pair[0].section


def parted(text: str) -> tuple[str, str]:
    """A number, and what follows it: `97.2` and ` ± 0.3`, `0.35×` and ` * 67%`; a minus is a minus."""
    found = MORE.search(text)
    number, more = (text[: found.start()], text[found.start() :]) if found else (text, "")
    return (f"−{number[1:]}" if number[:1] == "-" else number), more


def plain(name: str, sheet: Sheet) -> Table:
    """A table without pictures."""
    return Table(name, sheet)


def accuracies(name: str, view: View) -> Table:
    """Intervals of accuracy behind its column; the best row of the dense method is marked where there is one."""
    (sheet,) = view.sheets
    known = (entry for entry in view.entries if entry["method"] == "dense" and not entry.get("diverged"))
    dense = max((entry["accuracy"] for entry in known), default=None)
    spreads = _spreads(view.entries, "accuracy")
    note = () if dense is None else ("dashed upright line: the best row of dense",)
    return _pictured(name, _noted(sheet, note), spreads, _after(sheet, "accuracy %"), dense)


def differences(name: str, view: View) -> Table:
    """Intervals of differences before the column of p; nothing is marked by an upright line."""
    (sheet,) = view.sheets
    return _pictured(
        name,
        _noted(sheet, ("dashed upright line: no difference",)),
        _spreads(view.entries, "difference"),
        _after(sheet, "p") - 1,
        0.0,
    )


def _pictured(name: str, sheet: Sheet, spreads: Sequence[Spread | None], place: int, mark: float | None) -> Table:
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return plain(name, sheet)
    one: Scale = scale(known, mark)
    return Table(name, sheet, tuple(Markup() if each is None else whisker(each, one) for each in spreads), place)


def _noted(sheet: Sheet, notes: tuple[str, ...]) -> Sheet:
    return replace(sheet, notes=(*sheet.notes, *notes))


def _spreads(entries: Sequence[Mapping[str, Any]], what: str) -> list[Spread | None]:
    return [
        None if entry[what] is None else Spread(entry[what], entry[f"{what}_low"], entry[f"{what}_high"])
        for entry in entries
    ]


def _after(sheet: Sheet, title: str) -> int:
    return [column.title for column in sheet.columns].index(title) + 1
