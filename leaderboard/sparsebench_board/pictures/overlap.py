"""How much of their masks the twins of a cell in two frameworks share over time, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import moving
from sparsebench_board.frameworks import twins
from sparsebench_board.labels import plain
from sparsebench_board.pictures import seeds, style
from sparsebench_board.pictures.groups import Group, Member, groups, named_looks
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.seeds import Points
from sparsebench_board.pictures.sheet import Margins, sheet
from sparsebench_board.pictures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shared:
    """Of a cell and its twin: seed -> what their masks share, in per cent; `error` is the largest standard error."""

    member: Member
    other: Member
    by_seed: Mapping[int, Points]
    error: float


def shared(group: Group) -> list[Shared]:
    """Every pair of twins in a group that has notes of how masks moved, for the seeds of both."""
    members = {member.row.cell: member for member in group.members}
    pairs = [(members[pair.first.cell], members[pair.second.cell]) for pair in twins([m.row for m in group.members])]
    return [found for first, second in pairs if (found := _shared(first, second)).by_seed]


def _shared(first: Member, second: Member) -> Shared:
    theirs = {record.config.seed: record for record in second.cell.records}
    found: dict[int, Points] = {}
    errors = [0.0]
    for record in first.cell.records:
        ours, other = record.movement(), theirs.get(record.config.seed)
        moved = None if other is None else other.movement()
        if ours is None or moved is None:
            continue
        at = moving.common(ours, moved)
        found[record.config.seed] = {i: share for i, (share, _) in at.items()}
        errors += [error for _, error in at.values()]
    return Shared(first, second, {seed: points for seed, points in found.items() if points}, max(errors))


def figure(records: Sequence[Record]) -> Figure:
    """A panel for each model, data set, recipe and sparsity.

    Raises:
        UserError: no run has a twin in another framework, or their records do not tell how masks moved.
    """
    found = groups(records)
    pairs = [(group, shared(group)) for group in found]
    panels = [
        (group, sparsity, [each for each in own if each.member.row.sparsity == sparsity])
        for group, own in pairs
        for sparsity in group.sparsities
    ]
    panels = [(group, sparsity, own) for group, sparsity, own in panels if own]
    if not panels:
        raise UserError(
            "no two runs of one seed in two frameworks tell how their masks moved: older records do not, "
            "`sparsebench run quick` makes some that do"
        )
    columns = min(2, len(panels))
    picture = sheet(len(panels), 1.9, columns, Margins(0.55, 0.12, 0.42, 0.45))
    looks = named_looks(found)
    for panel, (group, sparsity, own) in zip(picture.panels, panels, strict=True):
        _panel(panel, own, looks)
        panel.set_title(f"{group.title}\nsparsity {digits(sparsity)}", fontsize=9)
    least = min(
        value for _, _, own in panels for each in own for points in each.by_seed.values() for value in points.values()
    )
    for panel in picture.panels:
        panel.set_ylim(*window(least))
    shown = [each for _, _, own in panels for each in own]
    names = {each.member.name for each in shown}
    entries = style.methods({name: look for name, look in looks.items() if name in names}, line=True)
    return picture.finish(entries, _notes(shown), beside=0)


def _panel(axes: Axes, own: Sequence[Shared], looks: Mapping[str, Look]) -> None:
    for each in own:
        look = looks[each.member.name]
        for points in each.by_seed.values():
            axes.plot(list(points), list(points.values()), color=look.colour, linewidth=0.5, alpha=0.6)
        line = seeds.line(list(each.by_seed.values()))
        style.curve(axes, replace(line, low=(), high=()), look, "torch")
    axes.set_xlabel("iterations")
    axes.set_ylabel("shared connections, %")


def window(least: float) -> tuple[float, float]:
    """From where to where an axis of shares goes, in per cent: to 100 and a little more, from 0 or a ten below."""
    low = max(0.0, 10 * math.floor((least - 2) / 10))
    return low, 100 + 0.04 * (100 - low)


def _notes(shown: Sequence[Shared]) -> list[str]:
    frameworks = sorted({plain(f"{each.member.row.backend} and {each.other.row.backend}") for each in shown})
    error = max(each.error for each in shown)
    exact = "all places are compared" if not error else f"from a sample of places: standard error {error:.1f} at most"
    return [
        f"what the masks of one seed in {', '.join(frameworks)} share, 2·both / (one's + other's); thin: a seed, "
        "thick: their mean",
        exact + "; two random masks share about " + _expected(shown),
    ]


def _expected(shown: Sequence[Shared]) -> str:
    """`10 to 16 %`: over all cells, by the densities that they ended with."""
    chances = [moving.chance(each.member.cell.records[0].layers) for each in shown]
    ends = dict.fromkeys(f"{end:.0f}" for end in (min(chances), max(chances)))
    return f"{' to '.join(ends)} %"


KIND = Kind(
    "overlap", "Masks of two frameworks",
    "A panel for each model, data set, recipe and sparsity: the share of connections that the masks of one seed in two "
    "frameworks have in common, over iterations; a thin line for each seed and a thick one for their mean, by method.",
    figure,
)  # fmt: skip
