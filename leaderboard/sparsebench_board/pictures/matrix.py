"""The matrix of methods and sparsities: what each reached, with its interval, on a ground that is darker for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.pictures import accuracy, style
from sparsebench_board.pictures.groups import Group, Member, groups
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES = ("#ffffff", "#7fb3d9")
"""From least to most: the darkest leaves black text readable."""
HEIGHT, HEAD = 0.24, 0.75
"""Inches of a line, and of a panel's title and sparsities."""


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
    """A matrix for each backend, the names with the best mean over sparsities that all have first; dense is sparsity 0."""
    found = [100 * member.row.accuracy for member in group.members]
    shades = accuracy.window(found, [])
    backends = sorted({member.row.backend for member in group.members})
    sparsities = tuple(sorted({member.row.sparsity for member in group.members}))
    return [
        _matrix(f"{group.title}, {backend}", [m for m in group.members if m.row.backend == backend], sparsities, shades)
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
    if not drawn:
        raise UserError("there are no runs to draw")
    from matplotlib.figure import Figure

    heights = [HEAD + HEIGHT * len(matrix.names) for matrix in drawn]
    picture = Figure(figsize=(style.WIDTH, sum(heights)), layout="constrained")
    axes = picture.subplots(len(drawn), 1, squeeze=False, height_ratios=heights).ravel()
    for panel, matrix in zip(axes, drawn, strict=True):
        _panel(panel, matrix)
    style.finish(picture, (), (
        "test accuracy in per cent, mean ± half of the 95 % interval over seeds; darker is more",
        "hatched: lacks seeds that others have, ranks with nothing",
    ))  # fmt: skip
    return picture


def _panel(axes: Axes, matrix: Matrix) -> None:
    for i, line in enumerate(matrix.cells):
        for j, row in enumerate(line):
            if row is not None:
                _cell(axes, i, j, row, matrix.shades)
    axes.set_xlim(-0.5, len(matrix.sparsities) - 0.5)
    axes.set_ylim(len(matrix.names) - 0.5, -0.5)
    axes.set_xticks(range(len(matrix.sparsities)), [digits(sparsity) for sparsity in matrix.sparsities])
    axes.set_yticks(range(len(matrix.names)), matrix.names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{matrix.title}: sparsity", fontsize=9.5)


def _cell(axes: Axes, i: int, j: int, row: Row, shades: tuple[float, float]) -> None:
    from matplotlib.patches import Rectangle

    hatch: Any = "////" if row.missing else None
    colour = "white" if row.missing else shade(100 * row.accuracy, shades)
    axes.add_patch(
        Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, edgecolor="#c8c8c8", linewidth=0.5, hatch=hatch)
    )
    axes.text(
        j, i, labels.percent(row.accuracy, row.accuracy_ci95), ha="center", va="center", fontsize=style.LABEL,
        bbox=accuracy.PAPER if row.missing else None,
    )  # fmt: skip


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
