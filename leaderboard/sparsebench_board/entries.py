"""What MLflow is told of a run, as plain data: tags to filter by, parameters, series and the summary of a cell.

Floats are rounded, since the UI cuts them; `accuracy` alone is exact, so that means made from it are. What is not
finite is left out: the store would turn infinity into a number. A run that diverged has no accuracy, and says when and
how in the tag `diverged`; nor has its cell, which says how many did: a mean over the others would flatter it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sparsebench.config import digits
from sparsebench.divergence import DIVERGED
from sparsebench.records import Record
from sparsebench_board import documents
from sparsebench_board.cells import Cell
from sparsebench_board.documents import DIGEST, RUN
from sparsebench_board.intervals import half_width, mean

CELL, KIND, LABEL, LOST = "sparsebench.cell", "sparsebench.kind", "cell", "diverged"
PARENT = "mlflow.parentRunId"
FINAL = {
    "test_loss": 4, "training_flops": 0, "training_ratio": 4, "inference_flops": 0, "inference_ratio": 4,
    "bytes": 0, "active_parameters": 0, "explored": 4, "steps_per_second": 1, "seconds": 1,
}  # fmt: skip
"""Numbers of a finished run besides its accuracy -> decimals; records made before `explored` was told lack it."""

Series = dict[tuple[str, int], float]
"""(metric, step) -> value."""


@dataclass(frozen=True)
class Entry:
    """One run as MLflow gets it; `files` are those of its record, times are in milliseconds since 1970."""

    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    series: Series
    files: Sequence[Path]
    started: int | None = None
    finished: int | None = None
    diverged: bool = False


def entry(record: Record, cell: Cell) -> Entry:
    """Everything about one record of a cell.

    Raises:
        UserError, OSError, ValueError, KeyError, TypeError: a file of the record is missing, damaged, not what was
            written, or lacks something.
    """
    record.verify()
    texts = documents.texts(record)
    own = {"seed": str(record.config.seed), RUN: record.id, DIGEST: documents.digest(texts), KIND: "run"}
    started, finished = _milliseconds(record.environment["started"]), _milliseconds(record.result["finished"])
    name, parameters = f"{_name(cell)} seed {record.config.seed}", flattened(record.config.model_dump(mode="json"))
    lost = {LOST: str(record.diverged)} if record.diverged else {}
    tags = _tags(cell) | own | lost | documents.packed(texts)
    return Entry(name, tags, parameters, _series(record), record.own(), started, finished, bool(record.diverged))


def cell_entry(cell: Cell) -> Entry:
    """The parent of a cell's runs; its numbers come from `summary`, once they are known."""
    parameters = flattened(cell.config.model_dump(mode="json", exclude={"seed"}))
    return Entry(_name(cell), _tags(cell) | {KIND: "cell"}, parameters, {}, ())


def _name(cell: Cell) -> str:
    return f"{cell.config.method} {digits(cell.config.sparsity)} {cell.config.backend}"


def _tags(cell: Cell) -> dict[str, str]:
    """What to filter by."""
    config = cell.config
    return {
        "method": config.method, "backend": config.backend, "model": config.model, "dataset": config.dataset,
        "sparsity": digits(config.sparsity), "distribution": config.distribution,
        LABEL: f"{_name(cell)}, {config.model} on {config.dataset}, {cell.id[:6]}", CELL: cell.id,
    }  # fmt: skip


def digest(record: Record) -> str:
    """That of its documents as they lie on disk; raises OSError, ValueError."""
    return documents.digest(documents.texts(record))


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`recipe.learning_rate` -> "0.1"; what is not set is left out."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        elif value is not None:
            flat[prefix + name] = str(value)
    return flat


def _series(record: Record) -> Series:
    series: Series = {}
    for event in record.events():
        series |= _points(event, record.result["parameters"])
    steps = record.result["steps"]
    series |= {(name, steps): value for name, value in final(record.result).items()}
    return {place: value for place, value in series.items() if math.isfinite(value)}


def _points(event: Mapping[str, Any], parameters: int) -> Series:
    """Where an event belongs on a chart over steps; an update counts as its iteration."""
    if event["kind"] == "train":
        return {("train_loss", event["stop"]): round(event["loss"], 4)}
    if event["kind"] == DIVERGED:
        return {}
    if event["kind"] == "update":
        active = sum(change["active"] for change in event["layers"].values())
        return {("density", event["iteration"] + 1): round(active / parameters, 4)}
    step = event["iteration"]
    return {
        ("accuracy_percent", step): round(100 * event["accuracy"], 2),
        ("test_loss", step): round(event["loss"], 4),
    }


def final(result: Mapping[str, Any]) -> dict[str, float]:
    """A result's numbers under MLflow's names, rounded; those that are unknown are left out, as is what a run that
    diverged has not."""
    named = dict(result) | {"test_loss": result["loss"], "seconds": result["seconds"]["total"]}
    told = {name: named.get(name) if name == "explored" else named[name] for name in FINAL}
    rounded = {name: round(float(value), FINAL[name]) for name, value in told.items() if value is not None}
    density = round(result["active_parameters"] / result["parameters"], 4)
    return {**_accuracy(result["accuracy"]), "density": density, **rounded}


def _accuracy(found: float | None) -> dict[str, float]:
    return {} if found is None else {"accuracy": float(found), "accuracy_percent": round(100 * float(found), 2)}


def summary(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A cell's metrics from those of its runs: means, the median speed, the interval of the accuracy.

    Where runs diverged, how many; means are over the others then, and the accuracy is NaN: were it left out, an earlier
    one would stay.
    """
    reached = [run for run in runs if "accuracy" in run]
    lost, runs = len(runs) - len(reached), reached or runs
    found: dict[str, float] = {}
    for name in ("density", *FINAL):
        if values := [run[name] for run in runs if name in run]:
            middle = statistics.median(values) if name == "steps_per_second" else mean(values)
            found[name] = round(middle, FINAL.get(name, 4))
    found["seeds"] = len(reached)
    if lost:
        return found | dict.fromkeys(("accuracy", "accuracy_percent", "accuracy_ci95_percent"), math.nan) | {LOST: lost}
    accuracies = [run["accuracy"] for run in runs]
    width = half_width(accuracies)
    interval = {} if width is None else {"accuracy_ci95_percent": round(100 * width, 2)}
    return found | interval | _accuracy(mean(accuracies))


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
