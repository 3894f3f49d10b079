"""Test accuracy of a cell in two frameworks, side by side over iterations."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.frameworks import Twins, twins
from sparsebench_board.pictures import accuracy, seeds, style
from sparsebench_board.pictures.curves import accuracies
from sparsebench_board.pictures.groups import Group, groups
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.sheet import Margins, sheet
from sparsebench_board.pictures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {"torch": Look(style.RED, "o"), "jax": Look(style.BLUE, "s")}
OTHER = Look(style.BLACK, "^")
COLUMNS = 4
LEAST = 1.0
"""Per cent of accuracy on an axis, at least."""
MOST = 90
"""Panels of one picture."""
LETTERS = 30
"""Of a line of a panel's title."""
NOTES = (
    "test accuracy in per cent over iterations: means over seeds; bands: 95 % Student-t intervals",
    "in each panel: difference at the end with its paired 95 % interval, in points",
)


def figure(records: Sequence[Record]) -> Figure:
    """A panel for each cell that has a twin in another framework, and a seed in common with it; a row or more a group.

    Raises:
        UserError: none has, or more than `MOST`.
    """
    found = groups(records)
    drawn = [(group, pair) for group in found for pair in twins([member.row for member in group.members])]
    if not drawn:
        raise UserError("no cell was run with one seed in two frameworks: run a suite in both")
    if len(drawn) > MOST:
        raise UserError(f"{len(drawn)} cells have a twin in another framework, and {MOST} make a picture: use --only")
    picture = sheet(slots([group.title for group, _ in drawn]), 1.15, COLUMNS, Margins(0.36, 0.06, 0.47, 0.22))
    titled = set[str]()
    for panel, (group, pair) in zip(picture.panels, drawn, strict=True):
        _panel(panel, group, pair, group.title not in titled)
        titled.add(group.title)
    backends = {row.backend for _, pair in drawn for row in (pair.first, pair.second)}
    entries = [
        style.handle(name, color=_look(name).colour, linestyle=style.dash(name), marker=_look(name).marker,
                     markerfacecolor=style.face(_look(name), name), markersize=4)
        for name in sorted(backends, reverse=True)
    ]  # fmt: skip
    return picture.finish(entries, NOTES, beside=0)


def _look(backend: str) -> Look:
    return LOOKS.get(backend, OTHER)


def slots(titles: Sequence[str]) -> list[int]:
    """Where each panel stands, row by row: panels of another title begin another row."""
    found: list[int] = []
    for place, title in enumerate(titles):
        after = found[-1] + 1 if found else 0
        begins = place > 0 and title != titles[place - 1]
        found.append(-(-after // COLUMNS) * COLUMNS if begins else after)
    return found


def _panel(axes: Axes, group: Group, pair: Twins, first: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    members = {member.row.cell: member for member in group.members}
    for row in (pair.first, pair.second):
        events = [record.events() for record in members[row.cell].cell.records]
        style.curve(axes, seeds.line([accuracies(each) for each in events]), _look(row.backend), row.backend)
    name = f"{members[pair.first.cell].name} {digits(pair.first.sparsity)}"
    axes.set_title((f"{group.title}\n" if first else "") + shorten(name, LETTERS, placeholder=" …"), fontsize=8)
    told = f"{pair.what}: {labels.gain(pair.difference.mean, pair.difference.interval)}"
    low, high = axes.get_ylim()
    span = max(high - low, LEAST)
    axes.set_ylim((low + high - span) / 2 - 0.25 * span, (low + high + span) / 2 + 0.05 * span)
    axes.tick_params(labelsize=7)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.text(
        0.97, 0.06, labels.plain(told), transform=axes.transAxes, ha="right", fontsize=6.5, bbox=accuracy.PAPER
    )  # fmt: skip


KIND = Kind(
    "frameworks", "Two frameworks, side by side",
    "A small panel for each cell that was run in two frameworks: mean test accuracy over iterations in each, with a "
    "band for the 95 % interval over seeds, and the difference at the end.",
    figure,
)  # fmt: skip
