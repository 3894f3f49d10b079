"""Progress on the screen: a live table where there is a terminal, one plain line for each cell done elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from sparsebench.cli.output import warn
from sparsebench.progress import Cell, Item, Tracker
from sparsebench.terminal import Terminal
from sparsebench.worker import Event, Told

Show = Callable[[str, Event], None]
"""(run id, what happened to it)."""

FRAME = 4  # rows of the window that are not cells: heading, summary, total, cursor
REFRESH = 0.1  # seconds


@contextmanager
def shown(items: Sequence[Item], console: Terminal) -> Generator[Show]:
    """Gives a function that takes events and shows how far the runs have come."""
    tracker = Tracker(items)
    if console.is_terminal:
        with Live(table(tracker, console.height), console=console, auto_refresh=False, transient=True) as live:
            yield warning(_refreshing(tracker, console, live))  # above the table
    else:
        yield warning(_printing(tracker, console))


def warning(show: Show) -> Show:
    """The same, where what a run tells is a warning: each line once for each run, however often it comes."""
    told: set[tuple[str, str]] = set()

    def both(id: str, event: Event) -> None:
        if not isinstance(event, Told):
            show(id, event)
        elif (id, event.line) not in told:
            told.add((id, event.line))
            warn(event.line if id in event.line else f"{id}: {event.line}")

    return both


def _refreshing(tracker: Tracker, console: Terminal, live: Live) -> Show:
    drawn = 0.0

    def show(id: str, event: Event) -> None:
        nonlocal drawn
        tracker.take(id, event)
        if time.monotonic() - drawn >= REFRESH:
            drawn = time.monotonic()
            live.update(table(tracker, console.height), refresh=True)

    return show


def _printing(tracker: Tracker, console: Terminal) -> Show:
    def show(id: str, event: Event) -> None:
        cell = tracker.take(id, event)
        if cell.complete:
            console.print(line(tracker, cell), soft_wrap=True)

    return show


def line(tracker: Tracker, cell: Cell) -> str:
    """One cell that is done, and what is left of the whole."""
    done = sum(other.complete for other in tracker.cells.values())
    seeds = ", ".join((f"{cell.recorded} of {cell.runs} seeds", *_lost(cell)))
    return (
        f"{cell.label}: {seeds}, {_rate(cell)} steps/s; "
        f"{done} of {len(tracker.cells)} cells, {_span(tracker.total().left)} left"
    )


def table(tracker: Tracker, height: int) -> Table:
    """One row for each cell and the total, summarised to fit `height` rows."""
    cells = list(tracker.cells.values())
    visible = _visible(cells, max(1, height - FRAME))
    drawing = Table(box=None, pad_edge=False)
    drawing.add_column("cell", no_wrap=True)
    drawing.add_column("", no_wrap=True)
    for heading in ("seeds", "steps/s", "left"):
        drawing.add_column(heading, justify="right", no_wrap=True)
    for cell in visible:
        drawing.add_row(*_row(cell))
    if len(visible) < len(cells):
        hidden = [cell for cell in cells if cell not in visible]
        drawing.add_row(f"… {len(hidden)} more, {sum(cell.complete for cell in hidden)} of them done")
    drawing.add_row(*_row(tracker.total()), style="bold")
    return drawing


def _visible(cells: list[Cell], room: int) -> list[Cell]:
    """What runs comes first, then what waits; in the order of the suite."""
    if len(cells) <= room:
        return cells
    chosen = sorted(cells, key=lambda cell: (cell.complete, not cell.current))[:room]
    return [cell for cell in cells if cell in chosen]


def _row(cell: Cell) -> tuple[str, ProgressBar, str, str, str]:
    bar = ProgressBar(total=cell.steps or 1, completed=cell.done if cell.steps else 1, width=24)
    lost = ", ".join(_lost(cell))
    seeds = f"{cell.recorded}/{cell.runs}" + (f" ({lost})" if lost else "")
    return cell.label, bar, seeds, _rate(cell), "" if cell.complete else _span(cell.left)


def _lost(cell: Cell) -> list[str]:
    counts = {"diverged": cell.diverged, "failed": cell.failed}
    return [f"{count} {what}" for what, count in counts.items() if count]


def _rate(cell: Cell) -> str:
    return f"{cell.rate:,.0f}" if cell.rate else "–"


def _span(seconds: float | None) -> str:
    """`1:05`, `2:00:00`, or a dash while unknown."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
