"""The matrix of methods and sparsities: what each reached, with its interval, on a ground that is darker for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.legends import SURVIVORS
from sparsebench_board.pictures import accuracy, style
from sparsebench_board.pictures.groups import Group, Member, groups
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.sheet import Margins, sheet
from sparsebench_board.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = ("#ffffff", "#7fb3d9")
"""From least to most: the darkest leaves black text readable."""
LETTERS, TITLES = 28, 84
"""Of a line of a name, and of a title."""
LINE, TITLE, LETTER = 0.17, 0.16, 0.068
"""Inches of a line of a name, of one of a title, and of a letter of a name."""
DECIMALS = 3
"""Of a sparsity; the levels between, at which a search for a ticket stops on its way, have more and are left out."""


@dataclass(frozen=True)
class Matrix:
    """A panel: `cells[i][j]` is the row of `names[i]` at `sparsities[j]`, None where there is none."""

    title: str
    names: tuple[str, ...]
    sparsities: tuple[float, ...]
    cells: tuple[tuple[Row | None, ...], ...]
    shades: tuple[float, float]
    """Accuracies in per cent that are white and dark, the same for all panels of a group."""


def matrices(group: Group) -> list[Matrix]:
    """A matrix for each backend; dense is sparsity 0 and comes first, the others by name."""
    found = [member for member in group.members if round(member.row.sparsity, DECIMALS) == member.row.sparsity]
    found = found or list(group.members)
    means = [100 * member.row.accuracy for member in found if member.row.accuracy is not None]
    shades = accuracy.window(means or [0.0], [])
    sparsities = tuple(sorted({member.row.sparsity for member in found}))
    backends = sorted({member.row.backend for member in found})
    return [
        _matrix(f"{group.title}, {backend}", [m for m in found if m.row.backend == backend], sparsities, shades)
        for backend in backends
    ]


def _matrix(
    title: str, members: Sequence[Member], sparsities: tuple[float, ...], shades: tuple[float, float]
) -> Matrix:
    rows = {(member.name, member.row.sparsity): member.row for member in members}
    names = sorted({member.name for member in members}, key=lambda name: ((name, 0.0) not in rows, name))
    cells = tuple(tuple(rows.get((name, sparsity)) for sparsity in sparsities) for name in names)
    return Matrix(labels.plain(title), tuple(names), sparsities, cells, shades)


def figure(records: Sequence[Record]) -> Figure:
    """A panel for each model, data set, recipe and backend.

    Raises:
        UserError: there are no records.
    """
    drawn = [matrix for group in groups(records) for matrix in matrices(group)]
    names = max(len(line) for matrix in drawn for name in matrix.names for line in wrap(name, LETTERS))
    titles = max(len(_titled(matrix)) for matrix in drawn)
    margins = Margins(0.15 + LETTER * names, 0.1, 0.3 + TITLE * titles, 0.1)
    picture = sheet(len(drawn), [sum(_heights(matrix)) for matrix in drawn], margins=margins)
    for panel, matrix in zip(picture.panels, drawn, strict=True):
        _panel(panel, matrix)
    return picture.finish((), (
        "test accuracy in per cent, mean ± half of the 95 % interval over seeds; darker is more",
        "hatched: seeds are missing, or diverged (†: mean over the others), ranks with nothing",
    ))  # fmt: skip


def _titled(matrix: Matrix) -> list[str]:
    return wrap(f"{matrix.title}: sparsity", TITLES)


def _heights(matrix: Matrix) -> list[float]:
    return [LINE * (0.5 + len(wrap(name, LETTERS))) for name in matrix.names]


def _panel(axes: Axes, matrix: Matrix) -> None:
    columns, heights = len(matrix.sparsities), _heights(matrix)
    tops = [sum(heights[:k]) for k in range(len(heights))]
    for line, top, height in zip(matrix.cells, tops, heights, strict=True):
        for j, row in enumerate(line):
            if row is not None:
                _cell(axes, (j, top, height), row, matrix.shades, min(style.LABEL, 62 / columns))
    axes.grid(visible=False)
    axes.set_xlim(0, columns)
    axes.set_ylim(sum(heights), 0)
    axes.set_xticks([j + 0.5 for j in range(columns)], [digits(sparsity) for sparsity in matrix.sparsities])
    names = ["\n".join(wrap(name, LETTERS)) for name in matrix.names]
    axes.set_yticks([top + height / 2 for top, height in zip(tops, heights, strict=True)], names, fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("\n".join(_titled(matrix)), fontsize=9)


def _cell(axes: Axes, place: tuple[float, float, float], row: Row, shades: tuple[float, float], size: float) -> None:
    from matplotlib.patches import Rectangle

    left, top, height = place
    hatch: Any = None if row.ranked else "////"
    colour = shade(100 * row.height, shades) if row.ranked else "white"
    axes.add_patch(Rectangle((left, top), 1, height, facecolor=colour, edgecolor="#c8c8c8", linewidth=0.5, hatch=hatch))
    axes.text(
        left + 0.5, top + height / 2, _text(row), ha="center",
        va="center_baseline", fontsize=size, bbox=None if row.ranked else accuracy.PAPER,
    )  # fmt: skip


def _text(row: Row) -> str:
    if row.accuracy is None:
        return "diverged"
    return labels.percent(row.accuracy, row.accuracy_ci95) + (SURVIVORS if row.diverged else "")


def shade(value: float, shades: tuple[float, float]) -> str:
    """Between the two of `SHADES`, by how far `value` is between the ends of `shades`."""
    low, high = shades
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    white, dark = ([int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in SHADES)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(white, dark, strict=True))


KIND = Kind(
    "matrix", "Methods and sparsities",
    "A table for each model, data set, recipe and backend: methods down, sparsities across, and in each place the mean "
    "test accuracy over seeds with its 95 % interval, on a darker ground for a higher one.",
    figure,
)  # fmt: skip
