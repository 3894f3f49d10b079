"""Records to rows: a row is a cell of the benchmark with its mean accuracy over seeds and what that cost.

Pure functions. A row that lacks seeds which other rows of its benchmark have is kept, says which, and is sorted last:
it ranks with nothing, since its mean is over other runs. So is a row of which a seed diverged: its mean is over the
seeds that did not, which flatters it; and a row of which every seed did has none.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.cells import Cell, cells, nominal_recipe, settings, twin
from sparsebench_board.intervals import Interval, Kind, interval, mean
from sparsebench_board.places import hardware, together, versions

NO_DISTRIBUTION = "–"


@dataclass(frozen=True)
class Row:
    """One cell. Accuracies are fractions; FLOPs are means over seeds, ratios are to dense training at multiplier 1.
    None stands for FLOPs that are unknown, for a network that does what nobody has a count for.

    `accuracy_low` and `accuracy_high` end the 95 % interval over seeds that `accuracy_interval` names, half as wide as
    `accuracy_ci95`; None for a single seed. `training_flops` are a whole run's, `inference_flops` one sample's;
    `steps_per_second` and `seconds`, a whole run's with all that is in it, are medians over seeds.
    `settings` are those that set this row apart from others shown with it. `accuracies` belong to `seeds`, which
    ascend; `missing` are seeds of other rows of the same model, data set and recipe that this one lacks.
    `diverged` are seeds whose runs did, and are in no number; where all did, there is no accuracy, and costs are those
    until then. `run_ids` are of all runs.
    `twin` is the same for cells that differ in nothing but the backend.
    `baseline` is the method of the row that `difference` and its interval are taken to, where that was asked for; `p`
    is that of the paired t-test, `p_holm` Holm's over the rows of its model, data set, sparsity and backend,
    and `detectable` the smallest difference that these seeds could have shown.
    """

    cell: str
    model: str
    dataset: str
    method: str
    sparsity: float
    distribution: str
    multiplier: float
    backend: str
    settings: Mapping[str, Any]
    accuracy: float | None
    accuracy_ci95: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_interval: Kind
    training_flops: float | None
    training_ratio: float | None
    dense_training_flops: float | None
    inference_flops: float | None
    inference_ratio: float | None
    dense_inference_flops: float | None
    bytes: int
    steps_per_second: float | None
    seconds: float
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    missing: tuple[int, ...]
    run_ids: tuple[str, ...]
    hardware: str
    versions: Mapping[str, str]
    twin: str
    baseline: str | None = None
    difference: float | None = None
    difference_ci95: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    difference_interval: Kind | None = None
    p: float | None = None
    p_holm: float | None = None
    detectable: float | None = None
    diverged: tuple[int, ...] = ()

    @property
    def ranked(self) -> bool:
        """Whether it has all seeds, each of which reached its end: others rank with nothing."""
        return not (self.missing or self.diverged)

    @property
    def height(self) -> float:
        """The accuracy to sort by; a row without one is below all others."""
        return -math.inf if self.accuracy is None else self.accuracy

    @property
    def interval(self) -> Interval:
        """That of the accuracy."""
        return Interval(self.accuracy_interval, self.accuracy_low, self.accuracy_high)

    @property
    def difference_spread(self) -> Interval:
        """That of the difference, where there is one."""
        return Interval(self.difference_interval or "none", self.difference_low, self.difference_high)


def rows(records: Sequence[Record]) -> list[Row]:
    """Every cell of some records, by model, data set, sparsity (dense first), then accuracy, the best first.

    Raises:
        UserError: a record's result lacks a number, or scipy is not installed.
    """
    found = cells(records)
    shown, expected = settings(found), _expected(found)
    return sorted((_row(cell, shown[cell.id], expected[_benchmark(cell)]) for cell in found), key=_rank)


def _rank(row: Row) -> tuple[Any, ...]:
    place = (row.sparsity, -row.height, row.method, row.backend, row.distribution, row.multiplier, row.cell)
    return (row.model, row.dataset, not row.ranked, *place)


def _benchmark(cell: Cell) -> str:
    """What rows must share to be expected to have the same seeds."""
    shared = {name: value for name, value in nominal_recipe(cell.config).items() if name != "memory_format"}
    return json.dumps([cell.config.model, cell.config.dataset, shared], sort_keys=True)


def _expected(found: Sequence[Cell]) -> Mapping[str, set[int]]:
    """Benchmark -> the seeds that any of its cells has."""
    seeds: defaultdict[str, set[int]] = defaultdict(set)
    for cell in found:
        seeds[_benchmark(cell)].update(cell.seeds)
    return seeds


def _row(cell: Cell, settings: Mapping[str, Any], expected: set[int]) -> Row:
    config, accuracies = cell.config, tuple(_figure(record, ["accuracy"]) for record in cell.reached)
    found = interval(accuracies)
    return Row(
        cell=cell.id,
        model=config.model, dataset=config.dataset, method=config.method, sparsity=config.sparsity,
        distribution=config.distribution if config.sparsity else NO_DISTRIBUTION,
        multiplier=config.multiplier, backend=config.backend, settings=settings,
        accuracy=mean(accuracies) if accuracies else None, accuracy_ci95=found.half_width,
        accuracy_low=found.low, accuracy_high=found.high, accuracy_interval=found.kind,
        **_costs(cell),
        bytes=round(mean(_figures(cell, "bytes"))),
        steps_per_second=None if _unknown(cell, PACE) else statistics.median(_figures(cell, PACE)),
        seconds=statistics.median(_figures(cell, "seconds", "total")),
        seeds=tuple(record.config.seed for record in cell.reached), accuracies=accuracies,
        missing=tuple(sorted(expected - set(cell.seeds))),
        run_ids=tuple(record.id for record in cell.records),
        hardware="; ".join(sorted({hardware(record.environment) for record in cell.records})),
        versions=together(versions(record.environment) for record in cell.records),
        twin=twin(cell), diverged=tuple(record.config.seed for record in cell.records if record.diverged),
    )  # fmt: skip


PACE = "steps_per_second"
COSTS = (
    "training_flops", "training_ratio", "dense_training_flops",
    "inference_flops", "inference_ratio", "dense_inference_flops",
)  # fmt: skip


def _costs(cell: Cell) -> dict[str, Any]:
    return {name: None if _unknown(cell, name) else mean(_figures(cell, name)) for name in COSTS}


def _unknown(cell: Cell, name: str) -> bool:
    return any(record.result.get(name, 0) is None for record in cell.told)


def _figures(cell: Cell, *name: str) -> tuple[float, ...]:
    return tuple(_figure(record, name) for record in cell.told)


def _figure(record: Record, name: Sequence[str]) -> float:
    value: Any = record.result
    for part in name:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(
            f"record {record.path}: result.json has {value!r} for {'.'.join(name)}, not a finite number: "
            "remove the folder and run again"
        )
    return float(value)
