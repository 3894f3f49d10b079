"""Curves of single runs over their iterations: training loss and test accuracy, as SVG.

Lines differ in dash and width too, so that they can be told apart in black and white.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.extra import needs_board
from sparsebench_board.labels import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = (("#0072b2", "-", 2.4), ("#d55e00", "--", 1.6), ("#009e73", "-.", 1.6), ("#cc79a7", ":", 2.0))
"""Colours of Okabe and Ito, which colour-blind people tell apart; dash and width."""
STYLE: Any = {"svg.hashsalt": "sparsebench", "svg.fonttype": "none", "font.size": 10.0}
"""The same records make the same file."""
Points = tuple[list[int], list[float]]


def losses(events: Sequence[dict[str, Any]]) -> Points:
    """Middle of each training segment, and its mean loss."""
    segments = [event for event in events if event["kind"] == "train"]
    return [(each["start"] + each["stop"]) // 2 for each in segments], [each["loss"] for each in segments]


def accuracies(events: Sequence[dict[str, Any]]) -> Points:
    """Iterations done at each evaluation, and test accuracy in per cent."""
    evaluations = [event for event in events if event["kind"] == "evaluate"]
    return [each["iteration"] for each in evaluations], [100 * each["accuracy"] for each in evaluations]


def label(record: Record, others: Sequence[Record]) -> str:
    """What a run is among others: `rigl 0.9 torch`, with its seed where there are several."""
    config = record.config
    parts = [config.method, digits(config.sparsity), config.backend]
    if len({other.config.seed for other in others}) > 1:
        parts.append(f"seed {config.seed}")
    return plain(" ".join(parts))


def draw(records: Sequence[Record], path: Path) -> None:
    """Training loss above test accuracy, a line for each record.

    Raises:
        UserError: there is nothing to draw, or too much, or matplotlib is not installed, or the file cannot be written.
    """
    if not 1 <= len(records) <= len(LINES):
        raise UserError(f"curves of {len(records)} runs: one to {len(LINES)} can be told apart; choose with --only")
    with needs_board("matplotlib"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 6.5), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        for record, line in zip(records, LINES, strict=False):
            events, name = record.events(), label(record, records)
            _line(above, losses(events), line, name)
            _line(below, accuracies(events), line, name, marker="o")
        above.set_title(" and ".join(dict.fromkeys(plain(f"{r.config.model} on {r.config.dataset}") for r in records)))
        above.set_ylabel("training loss")
        below.set_ylabel("test accuracy, %")
        below.set_xlabel("iterations")
        above.legend(frameon=False)
        _saved(figure, path)


def _line(axes: Axes, points: Points, line: tuple[str, str, float], name: str, marker: str = "") -> None:
    colour, dash, width = line
    axes.plot(*points, color=colour, linestyle=dash, linewidth=width, label=name, marker=marker, markersize=4)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _saved(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, format="svg", metadata={"Date": None})
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): give another --to") from error
