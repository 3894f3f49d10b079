"""Accuracies in a picture: means with intervals, on an axis that shows what lies together; what is far off is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench_board.labels import plain
from sparsebench_board.pictures.style import Look, face
from sparsebench_board.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 8
"""As many times further below the median than the best is above it: below the axis."""
LEAST = 2.0
"""Per cent of accuracy on an axis, at least."""
ALIKE = 0.01
"""Places that differ by no more than this share are drawn side by side."""
PAPER: Any = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5}
"""Behind text that marks may lie under."""
PALE = "#b0b0b0"
"""Rows that lack seeds, or of which one diverged."""
LEGEND = "intervals: 95 % over seeds; pale: seeds are missing or diverged, ranks with nothing; ↓: below the axis"


@dataclass(frozen=True)
class Mark:
    """A row at a place on the horizontal axis, drawn `aside` points to the right of it."""

    x: float
    row: Row
    look: Look
    size: float = 6
    aside: float = 0.0


def unreached(rows: Iterable[Row]) -> list[str]:
    """A note that names the rows of which every seed diverged, and which are nowhere in the picture."""
    names = [plain(f"{row.method} {digits(row.sparsity)} {row.backend}") for row in rows if row.accuracy is None]
    return [f"not drawn, for every seed diverged: {', '.join(dict.fromkeys(names))}"] if names else []


def ends(row: Row) -> tuple[float, float]:
    """Of the interval, in per cent; both the mean where there is none."""
    low, high = (row.height if end is None else end for end in (row.accuracy_low, row.accuracy_high))
    return 100 * low, 100 * high


def window(means: Sequence[float], intervals: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """From where to where an axis of accuracies in per cent goes.

    All means that are not far off, and their intervals, unless those are wider than half of what the means span; at
    least `LEAST` points, so that a trifle does not look large.
    """
    best, middle = max(means), median(means)
    floor = middle - FAR * max(best - middle, 0.5)
    near = [mean for mean in means if mean >= floor]
    room = max(0.5 * (best - min(near)), 0.5)
    spreads = [(low, high) for low, high in intervals if high >= floor]
    low = max(min([*near, *(low for low, _ in spreads)]), min(near) - room)
    high = min(max([best, *(high for _, high in spreads)]), best + room, 100.0)
    margin = max(0.05 * (high - low), 0.5 * (LEAST - (high - low)))
    return low - margin, high + margin


def scale(axes: Axes, rows: Sequence[Row], more: Sequence[float] = ()) -> None:
    """The vertical axis of a panel with these rows, and with `more` accuracies in per cent."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(*window([*(100 * row.height for row in rows), *more], [ends(row) for row in rows]))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.set_ylabel("test accuracy, %")


def draw(axes: Axes, marks: Sequence[Mark]) -> None:
    """Every row with its interval; those below the axis, which is scaled already, are listed at its foot."""
    floor = axes.get_ylim()[0]
    for mark in marks:
        if 100 * mark.row.height >= floor:
            _dot(axes, _paled(mark))
    below = [mark for mark in marks if 100 * mark.row.height < floor]
    for place, mark in zip(ranks([mark.x for mark in below], 0.1), below, strict=True):
        _listed(axes, _paled(mark), place)


def join(axes: Axes, marks: Sequence[Mark], dash: Any) -> None:
    """A line through marks that are equally far aside."""
    axes.plot(
        [mark.x for mark in marks], [100 * mark.row.height for mark in marks], color=marks[0].look.colour,
        linestyle=dash, linewidth=1.1, transform=_shifted(axes, marks[0].aside),
    )  # fmt: skip


def side_by_side(marks: Sequence[Mark]) -> list[Mark]:
    """Marks of (nearly) equal place moved aside, so that they do not hide each other."""
    return [replace(mark, aside=aside) for mark, aside in zip(marks, asides([m.x for m in marks]), strict=True)]


def asides(places: Sequence[float], step: float = 4.0, most: float = 32.0) -> list[float]:
    """How many points to the right of its place each of some marks is drawn; (nearly) equal places are spread.

    Around their place, `step` apart or closer, within `most` points altogether.
    """
    counts = [sum(_alike(place, other) for other in places) for place in places]
    steps = [min(step, most / max(1, count - 1)) for count in counts]
    return [(rank - (count - 1) / 2) * step for rank, count, step in zip(ranks(places), counts, steps, strict=True)]


def ranks(places: Sequence[float], apart: float = ALIKE) -> list[int]:
    """How many before each are of (nearly) equal place."""
    return [sum(_alike(place, other, apart) for other in places[:k]) for k, place in enumerate(places)]


def _alike(one: float, other: float, apart: float = ALIKE) -> bool:
    return abs(one - other) <= apart * abs(one)


def _paled(mark: Mark) -> Mark:
    return replace(mark, look=replace(mark.look, colour=PALE)) if not mark.row.ranked else mark


def _shifted(axes: Axes, aside: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)


def _dot(axes: Axes, mark: Mark) -> None:
    value, (low, high) = 100 * mark.row.height, ends(mark.row)
    spread = None if mark.row.accuracy_low is None else [[value - low], [high - value]]
    axes.errorbar(
        [mark.x], [value], spread, color=mark.look.colour, marker=mark.look.marker, markersize=mark.size,
        linestyle="", elinewidth=0.8, capsize=2, markerfacecolor=face(mark.look, mark.row.backend),
        markeredgewidth=0.9, transform=_shifted(axes, mark.aside),
    )  # fmt: skip


def _listed(axes: Axes, mark: Mark, place: int) -> None:
    """At the foot of the panel, above those listed there before: the mark, and how far down it is."""
    from matplotlib.transforms import ScaledTranslation

    up: Any = axes.get_xaxis_transform() + ScaledTranslation(0, (7 + 10 * place) / 72, axes.figure.dpi_scale_trans)
    axes.plot(
        [mark.x], [0], marker=mark.look.marker, color=mark.look.colour, markersize=5, linestyle="",
        markerfacecolor=face(mark.look, mark.row.backend), transform=up,
    )  # fmt: skip
    axes.annotate(
        f"↓ {100 * mark.row.height:.1f}", (mark.x, 0), (6, 0), xycoords=up, textcoords="offset points",
        va="center_baseline", fontsize=7, bbox=PAPER,
    )  # fmt: skip
