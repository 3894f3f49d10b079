"""Accuracy against FLOPs, of training and of inference: every row with its interval, and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from sparsebench_board.pictures import style
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.naming import called
from sparsebench_board.rows import Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Account:
    """What is on the horizontal axis: FLOPs of a row, and of dense."""

    what: str
    flops: Callable[[Row], float | None]
    dense: Callable[[Row], float | None]


TRAINED = Account("training FLOPs of a run", lambda row: row.training_flops, lambda row: row.dense_training_flops)
INFERRED = Account(
    "inference FLOPs of a sample", lambda row: row.inference_flops, lambda row: row.dense_inference_flops
)


@dataclass(frozen=True)
class Point:
    """A row in the picture: `x` are FLOPs in the axis' unit, `front` whether nothing beats it."""

    row: Row
    x: float
    front: bool


def points(group: Sequence[Row], account: Account) -> tuple[list[Point], float]:
    """Rows of a benchmark whose FLOPs are known, and the unit: dense FLOPs, or 1 where those are not one number.

    The front is that of `fronts.front`, among rows that lack no seed.
    """
    known = [row for row in group if account.flops(row) is not None]
    dense = {account.dense(row) for row in known}
    unit = (dense.pop() or 1.0) if len(dense) == 1 else 1.0
    ranked = [row for row in known if not row.missing]
    costs = np.array([account.flops(row) for row in ranked], dtype=float)
    on = front(np.array([row.accuracy for row in ranked]), costs).tolist() if ranked else []
    best = {id(row) for row, is_on in zip(ranked, on, strict=True) if is_on}
    return [Point(row, (account.flops(row) or 0) / unit, id(row) in best) for row in known], unit


def figure(account: Account, records: Sequence[Record]) -> Figure:
    """A panel for each model and data set.

    Raises:
        UserError: no record has FLOPs that are known.
    """
    groups = [(group, *points(group, account)) for group in benchmarks(rows(records))]
    drawn = [(group, found, unit) for group, found, unit in groups if found]
    if not drawn:
        raise UserError("no record has FLOPs that are known: nothing to draw accuracy against")
    picture, axes = style.panels(len(drawn), 4.0)
    for panel, (group, found, unit) in zip(axes, drawn, strict=True):
        _panel(panel, found)
        panel.set_title(title(group))
        whole = f", relative to dense ({labels.amount(unit, 'FLOP')})" if unit != 1 else ""
        panel.set_xlabel(account.what + whole)
        _scale(panel, relative=unit != 1)
    return picture


def _panel(axes: Axes, found: Sequence[Point]) -> None:
    methods = style.looks(point.row.method for point in found)
    on = sorted((point for point in found if point.front), key=lambda point: point.x)
    axes.step(
        [point.x for point in on], [100 * point.row.accuracy for point in on], where="post",
        color=style.GREY, linewidth=3, alpha=0.4, label="Pareto front", solid_joinstyle="miter",
    )  # fmt: skip
    for point in found:
        _dot(axes, point, methods[point.row.method])
    for point in on:
        name = f"{called(point.row, [each.row for each in found])} {digits(point.row.sparsity)}"
        axes.annotate(
            name, (point.x, 100 * point.row.accuracy), (-4, 4), textcoords="offset points", ha="right", fontsize=7.5
        )
    axes.set_ylabel("test accuracy, %")
    _legend(axes, found)


def _dot(axes: Axes, point: Point, look: style.Look) -> None:
    row = point.row
    colour = "#b0b0b0" if row.missing else look.colour
    ends = None
    if row.accuracy_low is not None and row.accuracy_high is not None:
        ends = [[100 * (row.accuracy - row.accuracy_low)], [100 * (row.accuracy_high - row.accuracy)]]
    axes.errorbar(
        [point.x], [100 * row.accuracy], ends, color=colour, marker=look.marker, markersize=6, linestyle="",
        markerfacecolor=colour if style.filled(row.backend) else "white", elinewidth=0.8, capsize=2,
    )  # fmt: skip


def _legend(axes: Axes, found: Sequence[Point]) -> None:
    looks = style.looks(point.row.method for point in found)
    backends = sorted({point.row.backend for point in found})
    handles: list[Any] = [axes.plot([], [], color=style.GREY, linewidth=3, alpha=0.4, label="Pareto front")[0]]
    for name, look in looks.items():
        handles += axes.plot([], [], color=look.colour, marker=look.marker, linestyle="", label=labels.plain(name))
    for backend in backends:
        fill = style.BLACK if style.filled(backend) else "white"
        handles += axes.plot(
            [], [], color=style.BLACK, marker="o", markerfacecolor=fill, linestyle="", label=labels.plain(backend)
        )
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8)


def _scale(axes: Axes, relative: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    text = (lambda x, _: f"{x:g}×") if relative else (lambda x, _: labels.amount(x, "FLOP"))
    axes.xaxis.set_major_formatter(FuncFormatter(text))


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
