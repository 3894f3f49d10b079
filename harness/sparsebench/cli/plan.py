"""A suite before it is trained: its cells, what each run will execute and take, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsebench import identity
from sparsebench import records as store
from sparsebench.calibrate import Calibrations, Kind, kind_of
from sparsebench.cli.work import Entry, recorded
from sparsebench.config import RunConfig
from sparsebench.forecast import Forecast, forecast, seconds
from sparsebench.makespan import Timed, makespan


def forecasts(entries: Sequence[Entry], records: Path) -> dict[str, Forecast]:
    """Of every run by id; of those that are recorded and reached their end it is what they came to.

    A run's source comes before it.
    """
    found: dict[str, Forecast] = {}
    for entry in entries:
        expected = forecast(entry.prepared, found.get(entry.after))
        record = store.read(records / entry.id) if recorded(records, entry.id) else None
        found[entry.id] = expected if record is None or record.diverged else expected.as_recorded(record)
    return found


def diverged(entries: Sequence[Entry], records: Path) -> set[str]:
    """The recorded runs that did."""
    ids = (entry.id for entry in entries if recorded(records, entry.id))
    return {id for id in ids if store.read(records / id).diverged}


@dataclass(frozen=True)
class Cell:
    """Runs that differ in nothing but their seed."""

    id: str
    entries: tuple[Entry, ...]

    @property
    def config(self) -> RunConfig:
        """Their settings; the seed is the first one's."""
        return self.entries[0].prepared.config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The first one's."""
        return self.entries[0].prepared.identity


def cells(entries: Sequence[Entry]) -> list[Cell]:
    """Every cell of some runs, in their order."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(identity.cell(entry.prepared.config, entry.prepared.identity), []).append(entry)
    return [Cell(id, tuple(several)) for id, several in found.items()]


@dataclass(frozen=True, eq=False)
class Plan:
    """All runs, those to do, what is expected of each, and what was measured of their kinds; `workers` at a time.

    `diverged` are the recorded runs that did.
    """

    entries: Sequence[Entry]
    missing: Sequence[Entry]
    expected: Mapping[str, Forecast]
    measured: Calibrations
    workers: int
    diverged: Set[str] = frozenset()

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Of every run to do whose kind could be measured."""
        return {
            entry.id: seconds(entry.prepared, self.expected[entry.id], measured)
            for entry in self.missing
            if (measured := self.measured.found.get(kind_of(entry.prepared)))
        }

    @property
    def hopeless(self) -> set[str]:
        """Runs to do whose ticket is to come from one that diverged, or from another such run."""
        lost = set(self.diverged)
        for entry in self.entries:
            lost |= {entry.id} if entry.after in lost else set()
        return lost & {entry.id for entry in self.missing}

    @property
    def wall(self) -> float | None:
        """Seconds from the first to the last run's end, what workers take to begin included; None: unknown."""
        if len(self.seconds) < len(self.missing):
            return None
        return makespan([self._timed(entry) for entry in self.missing], self.workers, self.measured.launches)

    def _timed(self, entry: Entry) -> Timed:
        kind = kind_of(entry.prepared)
        taken, setup = self.seconds[entry.id], self.measured.found[kind].setup
        return Timed(entry.id, entry.asked.backend, taken, entry.after, repr(kind), setup)


def document(plan: Plan) -> dict[str, Any]:
    """Plain values; None is what is unknown."""
    from sparsebench_board.cells import settings

    found = cells(plan.entries)
    apart = settings(found)
    return {
        "cells": [_cell(plan, cell) | {"settings": apart[cell.id]} for cell in found],
        "totals": _totals(plan),
        "calibrations": [
            {**_kind(kind), "batch_size": kind.recipe.batch_size, **asdict(measured)}
            for kind, measured in plan.measured.found.items()
        ],
        "unmeasured": [{**_kind(kind), "reason": failed.reason} for kind, failed in plan.measured.failed.items()],
        "launch_seconds": plan.measured.launches,
    }


def _kind(kind: Kind) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in ("backend", "model", "dataset", "width")}


def _cell(plan: Plan, cell: Cell) -> dict[str, Any]:
    """What its first run to do is expected to be, or what its first run came to."""
    missing = {entry.id for entry in plan.missing}
    to_do = [entry for entry in cell.entries if entry.id in missing]
    example = (to_do or cell.entries)[0]
    config, expected = cell.config, plan.expected[example.id]
    return {
        **{name: getattr(config, name) for name in ("model", "dataset", "method", "sparsity", "distribution")},
        "has_sparsity": example.prepared.method.has_sparsity,
        "multiplier": config.multiplier,
        "backend": config.backend,
        "listed": any(entry.listed for entry in cell.entries),
        "seeds": [entry.asked.seed for entry in cell.entries],
        "to_do": len(to_do),
        "recorded": len(cell.entries) - len(to_do),
        "diverged": sum(entry.id in plan.diverged for entry in cell.entries),
        "steps": example.prepared.task.steps,
        "updates": expected.updates,
        "evaluations": expected.evaluations,
        **expected.costs,
        "exact": expected.exact,
        "seconds": plan.seconds.get(example.id),
    }


def _totals(plan: Plan) -> dict[str, Any]:
    """Over the runs to do: FLOPs are those that they execute themselves, so that no search is counted twice."""
    expected = [plan.expected[entry.id] for entry in plan.missing]
    executed = [each.executed for each in expected]
    known = [cost for cost in executed if cost is not None]
    timed = len(plan.seconds) == len(plan.missing)
    return {
        "to_do": len(plan.missing),
        "recorded": len(plan.entries) - len(plan.missing),
        "diverged": len(plan.diverged),
        "hopeless": len(plan.hopeless),
        "training_flops": sum(known) if len(known) == len(executed) else None,
        "exact": all(each.exact for each in expected),
        "seconds": sum(plan.seconds.values()) if timed else None,
        "workers": plan.workers,
        "wall_seconds": plan.wall,
    }
