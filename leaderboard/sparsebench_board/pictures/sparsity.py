"""Accuracy against sparsity: a line for each method and backend, beside dense and what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.pictures import accuracy, style
from sparsebench_board.pictures.groups import Group, Member, by_name, groups, named_looks, reached
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.sheet import sheet
from sparsebench_board.pictures.style import Look
from sparsebench_board.references import Reference, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP, MOST = 4.0, 36.0
"""Points from a line to the next, and from the first to the last at most: side by side, intervals can be seen."""


def figure(records: Sequence[Record]) -> Figure:
    """A panel for each model, data set and recipe that has sparse rows.

    Raises:
        UserError: there are none.
    """
    every = groups(records)
    drawn = [group for group in reached(every) if group.sparsities]
    if not drawn:
        raise UserError("every run is dense: there is no sparsity to draw accuracy against")
    picture = sheet(len(drawn), 3.0)
    looks = named_looks(drawn)
    cited = [references(group) for group in drawn]
    for panel, group, found in zip(picture.panels, drawn, cited, strict=True):
        _panel(panel, group, found, looks)
    sources = sorted({each.source.split(":")[0] for found in cited for each in found})
    notes = [
        accuracy.LEGEND,
        *accuracy.unreached(member.row for group in every for member in group.members),
        "methods of one sparsity are drawn side by side; grey: dense",
        *([f"published, not measured here (bars: standard deviations): {'; '.join(sources)}"] if sources else []),
    ]
    return picture.finish(_entries(drawn, looks, any(cited)), notes)


def references(group: Group) -> list[Reference]:
    """Published figures of the model and data set, of methods, distributions and lengths that a group has."""
    rows = [member.row for member in group.members]
    return [
        each
        for each in published()
        if any(
            (each.model, each.dataset, each.method, each.multiplier)
            == (row.model, row.dataset, row.method, row.multiplier)
            and each.distribution in (None, row.distribution)
            for row in rows
        )
    ]


def _panel(axes: Axes, group: Group, cited: Sequence[Reference], looks: Mapping[str, Look]) -> None:
    accuracy.scale(axes, [member.row for member in group.members], [100 * each.accuracy for each in cited])
    lines = by_name(member for member in group.members if member.row.sparsity)
    _scale(axes, [*group.sparsities, *(each.sparsity for each in cited if each.sparsity)])
    for member in group.at(0):
        _dense(axes, member)
    for each in cited:
        _cited(axes, each)
    width, marks = min(STEP, MOST / max(1, len(lines) - 1)), list[accuracy.Mark]()
    for place, line in enumerate(lines):
        look, aside = looks[line[0].name], (place - (len(lines) - 1) / 2) * width
        own = [accuracy.Mark(1 - member.row.sparsity, member.row, look, aside=aside) for member in line]
        accuracy.join(axes, own, style.dash(line[0].row.backend, look))
        marks += own
    accuracy.draw(axes, marks)
    axes.set_title(group.title)


def _scale(axes: Axes, sparsities: Sequence[float]) -> None:
    """By the logarithm of the density; a tick at each sparsity, or at those in three decimals if there are any."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    densities = sorted({round(1 - each, 9) for each in sparsities})
    spread = max(densities[-1] / densities[0], 1.5)
    axes.set_xscale("log")
    axes.set_xlim(densities[-1] * spread**0.14, densities[0] / spread**0.14)
    ticks = [each for each in densities if round(each, 3) == each] or densities
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda density, _: digits(round(1 - density, 9))))
    axes.set_xlabel("sparsity")


def _dense(axes: Axes, member: Member) -> None:
    """A band of its interval, and its mean."""
    low, high = accuracy.ends(member.row)
    axes.axhspan(low, high, color=style.GREY, alpha=0.12, linewidth=0)
    axes.axhline(100 * member.row.height, color=style.BLACK, linewidth=1, linestyle=style.dash(member.row.backend))


def _cited(axes: Axes, each: Reference) -> None:
    """A large hollow mark of its method; of dense, a dotted line."""
    value = 100 * each.accuracy
    if not each.sparsity:
        axes.axhline(value, color=style.GREY, linewidth=1.2, linestyle=style.OTHER_DASH)
        return
    look = style.KNOWN.get(each.method, style.Look(style.GREY, "s"))
    axes.errorbar(
        [1 - each.sparsity], [value], None if each.std is None else [100 * each.std], color="#909090",
        marker=look.marker, markersize=10, markerfacecolor="none", markeredgewidth=0.8, elinewidth=0.8, linestyle="",
        zorder=1.5,
    )  # fmt: skip


def _entries(drawn: Sequence[Group], looks: Mapping[str, Look], cited: bool) -> list[Any]:
    members = [member for group in drawn for member in group.members]
    sparse = {member.name for member in members if member.row.sparsity}
    dense = (
        [style.handle("dense", color=style.BLACK, linewidth=1)]
        if any(not member.row.sparsity for member in members)
        else []
    )
    published = [
        style.handle("published", color="#909090", marker="o", markersize=10, markerfacecolor="none", linestyle=""),
        style.handle("dense, published", color=style.GREY, linewidth=1.2, linestyle=style.OTHER_DASH),
    ]
    methods = style.methods({name: look for name, look in looks.items() if name in sparse})
    backends = style.backends((member.row.backend for member in members), lines=True)
    return [*dense, *methods, *backends, *(published if cited else [])]


KIND = Kind(
    "sparsity", "Accuracy against sparsity",
    "A panel for each model, data set and recipe: mean test accuracy with its 95 % interval over seeds against "
    "sparsity, a line for each method and backend; a band and a line for dense, hollow marks for what was published.",
    figure,
)  # fmt: skip
