"""Where panels, legend and notes stand on a picture: in inches, so that panels keep their size whatever is below them.

Matplotlib's own layout engines draw everything once more to find that out, which takes longer than to draw it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from sparsebench_board.labels import plain
from sparsebench_board.pictures.style import LABEL, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.5
"""Inches, of every picture: a column of a page."""
BESIDE = 22
"""Entries of a legend, and letters of each, that there is room for beside panels."""
LETTERS = 118
"""Of a line of notes, at most."""
LINE, NOTE, LETTER, MARK = 0.165, 0.15, 0.068, 0.5
"""Inches of a line of a legend, of one of notes, of a letter of a legend, and of the mark before it."""


@dataclass(frozen=True)
class Margins:
    """Inches around each panel, for its ticks, labels and title."""

    left: float = 0.6
    right: float = 0.1
    top: float = 0.3
    bottom: float = 0.5


USUAL = Margins()


@dataclass(frozen=True, eq=False)
class Sheet:
    """Panels at `slots`, counted row by row; `heights` are the inches of each row of them, without its `margins`."""

    figure: Figure
    panels: tuple[Axes, ...]
    slots: tuple[int, ...]
    columns: int
    heights: tuple[float, ...]
    margins: tuple[Margins, ...]

    def finish(self, handles: Sequence[Any], notes: Sequence[str], beside: int = BESIDE) -> Figure:
        """The legend to the right of panels if it has at most `beside` entries, else below; then notes, made plain."""
        lines = [line for note in notes for line in wrap(plain(note), LETTERS)]
        longest = max((len(handle.get_label()) for handle in handles), default=0)
        aside = len(handles) <= beside and longest <= BESIDE
        columns = max(1, min(4, int(WIDTH / (MARK + LETTER * longest)))) if handles else 1
        legend = 0.0 if aside else LINE * math.ceil(len(handles) / columns) + 0.15
        noted = NOTE * len(lines) + 0.1
        self.place(MARK + LETTER * longest if aside and handles else 0.0, legend + noted)
        share = noted / self.figure.get_figheight()
        if handles:
            at, corner = ((1, 1), "upper right") if aside else ((0, share), "lower left")
            self.figure.legend(handles=handles, loc=corner, bbox_to_anchor=at, ncols=columns * (not aside) or 1)
        self.figure.text(0.01, share, "\n".join(lines), fontsize=7.5, color=QUIET, va="top", linespacing=1.4)
        return self.figure

    def place(self, aside: float, below: float) -> None:
        """Give the figure its height and each panel its place, with so many inches left free at the side and below."""
        each = (WIDTH - aside) / self.columns
        rows = [room.top + height + room.bottom for room, height in zip(self.margins, self.heights, strict=True)]
        whole = sum(rows) + below
        self.figure.set_size_inches(WIDTH, whole)
        for slot, axes in zip(self.slots, self.panels, strict=True):
            row, column = divmod(slot, self.columns)
            room = self.margins[row]
            bottom = whole - sum(rows[: row + 1]) + room.bottom
            left, width = column * each + room.left, each - room.left - room.right
            axes.set_position((left / WIDTH, bottom / whole, width / WIDTH, self.heights[row] / whole))


def sheet(
    slots: int | Sequence[int], height: float | Sequence[float], columns: int = 1,
    margins: Margins | Sequence[Margins] = USUAL,
) -> Sheet:  # fmt: skip
    """Empty panels, so many or at these slots; with height and margins for all rows, or for each.

    There is room for a legend at the side of a single column, until `finish` knows better.
    """
    from matplotlib.figure import Figure

    figure = Figure()
    places = tuple(range(slots)) if isinstance(slots, int) else tuple(slots)
    rows = max(places) // columns + 1
    heights = tuple(height) if isinstance(height, Sequence) else (float(height),) * rows
    rooms = (margins,) * rows if isinstance(margins, Margins) else tuple(margins)
    panels = tuple(figure.add_axes((0, 0, 1, 1), label=str(slot)) for slot in places)
    for axes in panels:
        axes.grid(color="#e0e0e0", linewidth=0.6)
        axes.tick_params(labelcolor=QUIET, color="#a0a0a0")
    found = Sheet(figure, panels, places, columns, heights, rooms)
    found.place(MARK + LETTER * BESIDE if columns == 1 else 0.0, 0.0)
    return found


def free(places: Sequence[tuple[float, float]], letters: Sequence[int]) -> list[bool]:
    """Which of some labels have room, going from the first to the last: those that overlap none placed before.

    `places`, in pixels, are where labels of so many letters end, as `annotate` with ha="right" puts them.
    """
    pixels = 100 / 72  # of a point, in a figure that is yet to be written
    boxes: list[tuple[float, float, float, float]] = []
    found: list[bool] = []
    for (x, y), count in zip(places, letters, strict=True):
        box = (x - pixels * 0.62 * LABEL * count, x, y, y + pixels * 1.2 * LABEL)
        found.append(all(box[1] < b[0] or b[1] < box[0] or box[3] < b[2] or b[3] < box[2] for b in boxes))
        boxes += [box] if found[-1] else []
    return found
