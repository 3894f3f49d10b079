"""Training loss and test accuracy of a few cells over their iterations: means over seeds, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.cells import Cell, cells, settings
from sparsebench_board.labels import pairs, plain, spans
from sparsebench_board.pictures import seeds, style
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.seeds import Points
from sparsebench_board.pictures.sheet import Margins, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = (
    (style.BLUE, "-", 2.4, "o"), (style.RED, (0, (4, 2)), 1.6, "s"), (style.GREEN, "-.", 1.6, "^"),
    (style.PURPLE, ":", 2.0, "v"), (style.SKY, (0, (8, 2, 1, 2, 1, 2)), 1.6, "D"),
    (style.ORANGE, (0, (6, 1, 1, 1)), 1.6, "X"),
)  # fmt: skip
"""Colour, dash, width and marker of each line, where methods do not give colour and marker."""


def losses(events: Sequence[dict[str, Any]]) -> Points:
    """Middle of each training segment -> its mean loss."""
    return {(each["start"] + each["stop"]) // 2: each["loss"] for each in events if each["kind"] == "train"}


def accuracies(events: Sequence[dict[str, Any]]) -> Points:
    """Iterations done at each evaluation -> test accuracy in per cent."""
    return {each["iteration"]: 100 * each["accuracy"] for each in events if each["kind"] == "evaluate"}


def names(found: Sequence[Cell]) -> list[str]:
    """What each cell is among the others: `rigl 0.9 torch`, and what else sets it apart."""
    shown = settings(found)
    return [plain(" ".join(_parts(cell, shown[cell.id], found))) for cell in found]


def _parts(cell: Cell, own: dict[str, Any], others: Sequence[Cell]) -> list[str]:
    config = cell.config

    def among(fact: Callable[[Any], object]) -> bool:
        return len({fact(other.config) for other in others}) > 1

    benchmark = f"on {config.dataset}" if among(lambda each: each.dataset) else ""
    model = config.model if among(lambda each: each.model) else ""
    distribution = config.distribution if config.sparsity and among(lambda each: each.distribution) else ""
    length = f"{digits(config.multiplier)}×" if among(lambda each: each.multiplier) else ""
    parts = [model, benchmark, config.method, digits(config.sparsity), distribution, length, config.backend, pairs(own)]
    return [part for part in parts if part]


def lines(found: Sequence[Cell]) -> list[tuple[Any, ...]]:
    """Colour, dash, width and marker of each cell's line: colour and marker of its method, where no two share one."""
    methods = [cell.config.method for cell in found]
    own = len(set(methods)) == len(methods)
    looks = style.looks({name: name for name in sorted(methods)}) if own else {}
    return [
        (looks[name].colour, dash, width, looks[name].marker) if own else (colour, dash, width, marker)
        for name, (colour, dash, width, marker) in zip(methods, LINES, strict=False)
    ]


def figure(records: Sequence[Record]) -> Figure:
    """Training loss above test accuracy, a line for each cell.

    Raises:
        UserError: there is nothing to draw, or more than can be told apart.
    """
    found = sorted(cells(records), key=_place)
    if not 1 <= len(found) <= len(LINES):
        raise UserError(f"curves of {len(found)} cells: one to {len(LINES)} can be told apart; choose with --only")
    drawn = sheet(2, 2.5, margins=Margins(right=0.15, bottom=0.45))
    above, below = drawn.panels
    for cell, name, look in zip(found, names(found), lines(found), strict=True):
        events = [record.events() for record in cell.records]
        if lost := diverged(cell):
            name += f", seed{'s' if len(lost) > 1 else ''} {spans(lost)} diverged"
        _line(above, [losses(each) for each in events], look, name)
        _line(below, [accuracies(each) for each in events], look, name, marker=look[3])
    above.set_title(" and ".join(dict.fromkeys(plain(f"{c.config.model} on {c.config.dataset}") for c in found)))
    above.set_ylabel("training loss")
    below.set_ylabel("test accuracy, %")
    below.set_xlabel("iterations")
    above.legend()
    above.sharex(below)
    cut = ["a line ends where a seed of it diverged"] if any(map(diverged, found)) else []
    return drawn.finish((), [*seeds.notes([cell.seeds for cell in found]), *cut])


def diverged(cell: Cell) -> list[int]:
    """Seeds whose runs did."""
    return [record.config.seed for record in cell.records if record.diverged]


def _place(cell: Cell) -> tuple[Any, ...]:
    config = cell.config
    return config.model, config.dataset, config.sparsity, config.method, config.backend, cell.id


def _line(axes: Axes, points: Sequence[Points], look: tuple[Any, ...], name: str, marker: str = "") -> None:
    colour, dashes, width, _ = look
    line = seeds.line(points)
    axes.plot(
        line.x, line.mean, color=colour, linestyle=dashes, linewidth=width, label=name, marker=marker, markersize=4
    )
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


KIND = Kind(
    "curves", "Training loss and test accuracy",
    "Two panels over iterations, training loss above and test accuracy in per cent below: a line for each cell, the "
    "mean over its seeds, with a band for the 95 % interval.",
    figure, whole=False,
)  # fmt: skip
