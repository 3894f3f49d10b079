"""How masks move over training: what an update changes, what is left of the first mask, outputs that are dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mode
from typing import TYPE_CHECKING

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import moving
from sparsebench_board.pictures import seeds, style
from sparsebench_board.pictures.groups import Member, groups, named_looks, reached
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.seeds import Line
from sparsebench_board.pictures.sheet import Margins, sheet
from sparsebench_board.pictures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADS = ("changed by an update, %", "still active of the first mask, %", "dead outputs, %")
NOTES = (
    "over iterations, means over seeds with 95 % intervals",
    "changed: connections dropped, for others or for good, as a share of those that were active",
    "dead outputs: neurons or channels without an active connection into them, as a share of those of all layers",
)
MISSING = "these records do not tell:\nthey are older"


@dataclass(frozen=True)
class Moves:
    """Three curves of a cell, in the order of `HEADS`: means over its seeds; empty where no record tells."""

    member: Member
    lines: tuple[Line, Line, Line]


def moves(member: Member) -> Moves | None:
    """How the masks of a cell moved; None where they never did, or once, as SNIP's do at the start."""
    changes = [moving.changed(record.events()) for record in member.cell.reached]
    if any(len(each) < 2 for each in changes):
        return None
    notes = [(record.layers, found) for record in member.cell.reached if (found := record.movement())]
    first = [moving.kept(found) for _, found in notes]
    dead = [moving.dead(found, layers) for layers, found in notes]
    return Moves(member, (seeds.line(changes), seeds.line(first), seeds.line(dead)))


def figure(records: Sequence[Record]) -> Figure:
    """Three panels for each model, data set, recipe and sparsity whose masks moved.

    Raises:
        UserError: none did.
    """
    found = reached(groups(records))
    drawn = [
        (f"{group.title}, sparsity {digits(sparsity)}", [each for m in group.at(sparsity) if (each := moves(m))])
        for group in found
        for sparsity in group.sparsities
    ]
    drawn = [(title, members) for title, members in drawn if members]
    if not drawn:
        raise UserError("no mask of these runs moved: methods such as rigl, set, snfs and pruning move theirs")
    picture = sheet(3 * len(drawn), 1.5, 3, Margins(0.38, 0.1, 0.42, 0.22))
    axes = picture.panels
    looks = named_looks(found)
    for place, (title, members) in enumerate(drawn):
        _row(axes[3 * place : 3 * place + 3], members, looks)
        axes[3 * place].set_title(f"{title}\n{HEADS[0]}", fontsize=9)
    shown = [each.member for _, members in drawn for each in members]
    names = {member.name for member in shown}
    methods = style.methods({name: look for name, look in looks.items() if name in names})
    random = style.handle("two random masks", color=style.GREY, linestyle=style.OTHER_DASH, linewidth=1.2)
    backends = style.backends((member.row.backend for member in shown), lines=True)
    noted = any(each.lines[1].x for _, members in drawn for each in members)
    return picture.finish([*methods, *backends, *([random] if noted else [])], NOTES, beside=0)


def _row(axes: Sequence[Axes], members: Sequence[Moves], looks: Mapping[str, Look]) -> None:
    for k, (panel, head) in enumerate(zip(axes, HEADS, strict=True)):
        for each in sorted(members, key=lambda each: each.member.row.backend, reverse=True):
            style.curve(panel, each.lines[k], looks[each.member.name], each.member.row.backend)
        panel.set_title(head, fontsize=9)
        if not any(each.lines[k].x for each in members):
            panel.text(0.5, 0.5, MISSING, transform=panel.transAxes, ha="center", va="center", color=style.QUIET)
            panel.set(xticks=[], yticks=[])
        else:
            panel.set_ylim(bottom=0)
    if any(each.lines[1].x for each in members):
        at_random(axes[1], [each.member for each in members])


def at_random(axes: Axes, members: Sequence[Member]) -> None:
    """A line at what two random masks share, with the densities that most of these cells ended with."""
    expected = mode(round(moving.chance(member.cell.reached[0].layers), 1) for member in members)
    axes.axhline(expected, color=style.GREY, linestyle=style.OTHER_DASH, linewidth=1.2, zorder=1.5)


KIND = Kind(
    "movement", "How masks move",
    "Three panels for each model, data set, recipe and sparsity, over iterations: the share of connections that an "
    "update changes, the share of the first mask that is still active, and the share of outputs that are dead; a line "
    "for each method and backend.",
    figure,
)  # fmt: skip
