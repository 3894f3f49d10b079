"""How far a set of runs has come, cell by cell: events in, counts, rates and time left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sparsebench.outcome import Outcome
from sparsebench.worker import Event, Failed, Finished, Lost, Progressed, Started, Told


@dataclass(frozen=True)
class Item:
    """One run: its id, the label of its cell and its length; `recorded` if there is nothing to do."""

    id: str
    cell: str
    steps: int
    recorded: bool = False


@dataclass
class Cell:
    """What is known of one cell: its runs, and its steps (those of runs recorded before left out).

    `over` are the steps of runs that have ended, `current` those done by each run in progress; `timed` are the steps
    that its runs have done in `seconds`: importing, compiling and the first report's steps are not among them.
    Of the recorded runs, `diverged` ended before their time: the steps that they left out are not among those to do.
    """

    label: str
    runs: int = 0
    recorded: int = 0
    failed: int = 0
    diverged: int = 0
    steps: int = 0
    over: int = 0
    current: dict[str, int] = field(default_factory=dict[str, int])
    timed: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Steps done by all of its runs."""
        return self.over + sum(self.current.values())

    @property
    def complete(self) -> bool:
        """Whether every run has ended."""
        return self.recorded + self.failed == self.runs

    @property
    def rate(self) -> float | None:
        """Steps per second; None while unknown."""
        return self.timed / self.seconds if self.timed and self.seconds else None

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None while unknown."""
        return (self.steps - self.done) / self.rate if self.rate else None


class Tracker:
    """Turns events into cells. `clock` gives seconds."""

    def __init__(self, items: Sequence[Item], clock: Callable[[], float] = time.monotonic) -> None:
        self.items: Mapping[str, Item] = {item.id: item for item in items}
        self.cells: dict[str, Cell] = {}
        self._clock = clock
        self._began = clock()
        self._since: dict[str, float] = {}
        for item in items:
            cell = self.cells.setdefault(item.cell, Cell(item.cell))
            cell.runs += 1
            cell.recorded += item.recorded
            cell.steps += 0 if item.recorded else item.steps

    def take(self, id: str, event: Event) -> Cell:
        """Note what happened to a run; returns its cell."""
        item, now = self.items[id], self._clock()
        cell = self.cells[item.cell]
        if isinstance(event, Told):
            return cell
        cell.seconds += now - self._since.get(id, now)
        match event:
            case Started():
                cell.current[id] = 0
            case Progressed(done):
                cell.timed += done - cell.current[id] if id in self._since else 0
                cell.current[id] = done
                self._since[id] = now
            case Lost():
                self._since.pop(id, None)
                cell.current.pop(id, None)
            case Finished() | Failed():
                self._since.pop(id, None)
                done = cell.current.pop(id, 0)
                if isinstance(event, Finished) and isinstance(event.result, Outcome) and event.result.diverged:
                    cell.diverged += 1
                    cell.steps -= item.steps - done
                    cell.over += done
                else:
                    cell.over += item.steps
                cell.recorded += isinstance(event, Finished)
                cell.failed += isinstance(event, Failed)
        return cell

    def total(self) -> Cell:
        """All cells as one; its rate is the throughput since the beginning."""
        total = Cell("total", seconds=self._clock() - self._began)
        for cell in self.cells.values():
            total.runs += cell.runs
            total.recorded += cell.recorded
            total.failed += cell.failed
            total.diverged += cell.diverged
            total.steps += cell.steps
            total.over += cell.over
            total.current |= cell.current
        total.timed = total.done
        return total
