"""Accuracy against FLOPs, of training and of inference: every row with its interval, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.columns import benchmarks, title
from sparsebench_board.fronts import front
from sparsebench_board.pictures import accuracy, style
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.sheet import free, sheet
from sparsebench_board.pictures.style import Look
from sparsebench_board.rows import Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGE, SMALL = 8.5, 4.5
"""Markers of the densest and of the sparsest rows, in points."""
FRONT: Mapping[str, Any] = {"color": style.GREY, "linewidth": 3.5, "alpha": 0.4, "solid_joinstyle": "miter"}
LEAST = 4.0
"""By how much the ends of an axis of FLOPs differ, at least."""
FEW = 4
"""Sparsities in the legend."""
NOTE = (
    "rows of equal cost: side by side; all settings of a method have its mark; the front is named where there is room"
)


@dataclass(frozen=True)
class Account:
    """What is on the horizontal axis: FLOPs of a row, and of dense."""

    what: str
    flops: Callable[[Row], float | None]
    dense: Callable[[Row], float | None]


TRAINED = Account("training FLOPs of a run", lambda row: row.training_flops, lambda row: row.dense_training_flops)
INFERRED = Account("inference FLOPs", lambda row: row.inference_flops, lambda row: row.dense_inference_flops)


@dataclass(frozen=True)
class Point:
    """A row in the picture: `x` are FLOPs in the axis' unit, `front` whether nothing beats it."""

    row: Row
    x: float
    front: bool


def points(group: Sequence[Row], account: Account) -> tuple[list[Point], float | None]:
    """Rows of a benchmark that have an accuracy and whose FLOPs are known, and the unit.

    That is dense FLOPs, or None where those are not one number. The front is that of `fronts.front`, among rows that
    rank.
    """
    reached = [row for row in group if row.accuracy is not None]
    known = [(row, flops) for row in reached if (flops := account.flops(row)) is not None]
    dense = {account.dense(row) for row, _ in known}
    unit = dense.pop() if len(dense) == 1 else None
    ranked = [(row, flops) for row, flops in known if row.ranked]
    on = front(np.array([row.height for row, _ in ranked]), np.array([flops for _, flops in ranked], dtype=float))
    best = {row.cell for (row, _), is_on in zip(ranked, on.tolist(), strict=True) if is_on}
    return [Point(row, flops / (unit or 1), row.cell in best) for row, flops in known], unit


def figure(account: Account, records: Sequence[Record]) -> Figure:
    """A panel for each model and data set.

    Raises:
        UserError: no record has an accuracy, and FLOPs that are known.
    """
    shown = rows(records)
    groups = [(group, *points(group, account)) for group in benchmarks(shown)]
    drawn = [(group, found, unit) for group, found, unit in groups if found]
    if not drawn:
        raise UserError("no record has FLOPs that are known: there is nothing to draw accuracy against")
    picture = sheet(len(drawn), 3.4)
    every = [point.row for _, found, _ in drawn for point in found]
    looks = style.looks({name: name for name in sorted({row.method for row in every})})
    sizes = _sizes(every)
    for panel, (group, found, unit) in zip(picture.panels, drawn, strict=True):
        panel.set_title(title(group))
        _scale(panel, found, account.what, unit)
        _panel(panel, found, looks, sizes)
    return picture.finish(_entries(every, looks, sizes), (accuracy.LEGEND, NOTE, *accuracy.unreached(shown)))


def _sizes(shown: Sequence[Row]) -> dict[float, float]:
    """Sparsity -> size of its marker: the sparser, the smaller, by the logarithm of the density."""
    densities = {row.sparsity: math.log(1 - row.sparsity) for row in shown}
    least = min(densities.values()) or -1.0
    return {sparsity: LARGE + (SMALL - LARGE) * densities[sparsity] / least for sparsity in sorted(densities)}


def _some(sizes: Mapping[float, float]) -> list[float]:
    """The first, the last and a few between them, of those in two decimals where there are any."""
    sparsities = [each for each in sizes if round(each, 2) == each] or list(sizes)
    places = {round(k * (len(sparsities) - 1) / (FEW - 1)) for k in range(FEW)}
    return [sparsities[place] for place in sorted(places)]


def _panel(axes: Axes, found: Sequence[Point], looks: Mapping[str, Look], sizes: Mapping[float, float]) -> None:
    accuracy.scale(axes, [point.row for point in found])
    on = sorted((point for point in found if point.front), key=lambda point: point.x)
    axes.step([point.x for point in on], [100 * point.row.height for point in on], where="post", **FRONT)
    marks = [accuracy.Mark(point.x, point.row, looks[point.row.method], sizes[point.row.sparsity]) for point in found]
    accuracy.draw(axes, accuracy.side_by_side(marks))
    names = _names(on)
    rooms = free([tuple(axes.transData.transform(at).tolist()) for at in names.values()], list(map(len, names)))
    for (name, at), has_room in zip(names.items(), rooms, strict=True):
        if has_room:
            axes.annotate(name, at, (-7, 5), textcoords="offset points", ha="right", fontsize=style.LABEL)


def _names(front: Sequence[Point]) -> dict[str, tuple[float, float]]:
    """What is on the front -> where the best of that name is; both backends of one have one name."""
    lengths = {point.row.multiplier for point in front} != {1.0}
    return {_name(point.row, lengths): (point.x, 100 * point.row.height) for point in front}


def _name(row: Row, lengths: bool) -> str:
    sparsity, length = digits(row.sparsity), f"{digits(row.multiplier)}×"
    return labels.plain(" ".join([row.method, *([sparsity] if row.sparsity else []), *([length] if lengths else [])]))


def _entries(shown: Sequence[Row], looks: Mapping[str, Look], sizes: Mapping[float, float]) -> list[Any]:
    shapes = [
        style.handle(
            f"sparsity {digits(sparsity)}", color=style.QUIET, marker="o", linestyle="", markersize=sizes[sparsity]
        )
        for sparsity in _some(sizes)
    ]
    backends = style.backends(row.backend for row in shown)
    return [style.handle("Pareto front", **FRONT), *style.methods(looks), *backends, *shapes]


def _scale(axes: Axes, found: Sequence[Point], what: str, unit: float | None) -> None:
    """Logarithmic: shares of dense, or absolute where there is no one dense."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = reach([point.x for point in found])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}×" if unit else labels.amount(x, "").strip()))
    axes.set_xlabel(f"{what}, relative to dense ({labels.amount(unit, 'FLOP')})" if unit else what)


def reach(places: Sequence[float]) -> tuple[float, float]:
    """From where to where a logarithmic axis goes: names of the front have room to the left of their marks."""
    low, high = min(places), max(places)
    span = max(high / low, LEAST)
    middle = math.sqrt(low * high)
    return min(low, middle / math.sqrt(span)) / span**0.25, max(high, middle * math.sqrt(span)) * span**0.06


def ticks(low: float, high: float) -> list[float]:
    """Numbers that begin with 1, 2 and 5, or with 1 and 3 where those would be many."""
    leading = (1, 2, 5) if high / low < 300 else (1, 3)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    return [tick for power in powers for digit in leading if low <= (tick := float(f"{digit}e{power}")) <= high]


TRAINING = Kind(
    "training-flops", "Accuracy against training FLOPs",
    "A panel for each model and data set: mean test accuracy of every row with its 95 % interval over seeds, against "
    "the FLOPs of its training. A grey line joins the rows that nothing beats.",
    partial(figure, TRAINED),
)  # fmt: skip
INFERENCE = Kind(
    "inference-flops", "Accuracy against inference FLOPs",
    "A panel for each model and data set: mean test accuracy of every row with its 95 % interval over seeds, against "
    "the FLOPs of a forward pass of one sample. A grey line joins the rows that nothing beats.",
    partial(figure, INFERRED),
)  # fmt: skip
