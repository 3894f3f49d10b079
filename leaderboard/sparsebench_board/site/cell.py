"""What a cell reached and cost, how its runs went, and where it stands among other cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sparsebench.config import digits
from sparsebench_board import labels
from sparsebench_board.cells import Cell
from sparsebench_board.columns import reached
from sparsebench_board.holm import LEVEL
from sparsebench_board.intervals import Interval, Kind
from sparsebench_board.pictures.curves import accuracies, losses
from sparsebench_board.rows import Row
from sparsebench_board.site.charts import Curve, curves
from sparsebench_board.site.views import Shown

MEANS: Mapping[Kind, str] = {
    "t": "mean with 95 % Student-t interval, seeds", "bca": "mean with 95 % BCa interval, seeds",
    "equal": "the same with seeds", "none": "without an interval, of seed",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """A difference to another row: the interval in numbers, and what the corrected test says."""

    what: str
    text: str
    p: str
    verdict: str


@dataclass(frozen=True)
class Layer:
    """A prunable layer as the cell's runs ended; counts of several runs that differ are a range."""

    name: str
    shape: str
    size: str
    active: str
    density: float


@dataclass(frozen=True)
class Chart:
    """A picture with the words above it."""

    title: str
    picture: Markup


# ---- what it reached and cost ---------------------------------------------------------------------------------


def title(row: Row) -> str:
    """`rigl 0.9 erk 5×, torch`."""
    length = f" {digits(row.multiplier)}×" if row.multiplier != 1 else ""
    distribution = f" {row.distribution}" if row.sparsity else ""
    return labels.plain(f"{row.method} {digits(row.sparsity)}{distribution}{length}, {row.backend}")


def figures(row: Row, cell: Cell) -> list[tuple[str, str, str]]:
    """What stands on top of the page: name, number, and what to know of it."""
    result = cell.told[0].result
    weights = f"{result['active_parameters']:,} of {result['parameters']:,} weights"
    return [
        (
            "test accuracy, %",
            reached(row),
            f"{MEANS[row.accuracy_interval]} {labels.spans(row.seeds)}" if row.seeds else "every seed",
        ),
        ("training FLOPs", labels.ratio(row.training_ratio), _of(row.training_flops, row.dense_training_flops)),
        ("inference FLOPs", labels.ratio(row.inference_ratio), _of(row.inference_flops, row.dense_inference_flops)),
        ("size", labels.amount(row.bytes, "B"), weights),
        ("steps a second", labels.pace(row.steps_per_second), "median over seeds"),
        ("seconds of a run", labels.speed(row.seconds), f"median; {row.hardware}"),
    ]


def _of(flops: float | None, dense: float | None) -> str:
    if flops is None or dense is None:
        return "the network has operations without a count"
    return f"{labels.amount(flops, 'FLOP')} of dense {labels.amount(dense, 'FLOP')}"


def costs(cell: Cell) -> list[tuple[str, str, float]]:
    """Training FLOPs by what they were for, with the share of each in the whole, of the first run that reached its end
    (or where none did, until it diverged)."""
    result = cell.told[0].result
    parts = {
        "the runs that the ticket comes from": result.get("source_training_flops"),
        **(result.get("executed") or {}),
    }
    known = {name.replace("_", " "): value for name, value in parts.items() if value}
    whole = sum(known.values())
    return [(name, labels.amount(value, "FLOP"), value / whole) for name, value in known.items()]


# ---- how it went ----------------------------------------------------------------------------------------------


def charts(cell: Cell) -> list[Chart]:
    """Training loss, test accuracy, and how much masks changed.

    Raises:
        UserError: the events of a record cannot be read.
    """
    events = [(record.config.seed, record.events()) for record in cell.records]
    wanted: tuple[tuple[str, Callable[[Sequence[Any]], Mapping[int, float]]], ...] = (
        ("training loss", losses),
        ("test accuracy, %", accuracies),
        ("connections replaced by a mask update, % of the active", replaced),
    )
    found = [(title, [_curve(seed, points(each)) for seed, each in events]) for title, points in wanted]
    drawn = [(title, curves(lines, f"{title}, over iterations")) for title, lines in found]
    return [Chart(title, picture) for title, picture in drawn if picture is not None]


def replaced(events: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Iteration of each mask update -> connections grown, in per cent of those active after it."""
    updates = [event for event in events if event["kind"] == "update"]
    changes = {event["iteration"]: event["layers"].values() for event in updates}
    return {
        iteration: 100 * sum(change["grown"] for change in layers) / max(1, sum(change["active"] for change in layers))
        for iteration, layers in changes.items()
    }


def _curve(seed: int, points: Mapping[int, float]) -> Curve:
    return Curve(seed, tuple(points), tuple(points.values()))


def layers(cell: Cell) -> list[Layer]:
    """Every prunable layer, of all seeds together that reached their end, or of all."""
    return [_layer(same) for same in zip(*(record.layers for record in cell.told), strict=False)]


def _layer(same: Sequence[Mapping[str, Any]]) -> Layer:
    first, active = same[0], sorted({int(each["active"]) for each in same})
    size = int(first["size"])
    return Layer(
        str(first["name"]), " × ".join(map(str, first["shape"])), f"{size:,}",
        "–".join(f"{count:,}" for count in dict.fromkeys((active[0], active[-1]))),
        sum(int(each["active"]) for each in same) / max(1, size * len(same)),
    )  # fmt: skip


def unfinished(cell: Cell) -> list[str]:
    """A sentence for each run that diverged."""
    return [
        f"Seed {record.config.seed} {labels.plain(str(record.diverged))}." for record in cell.records if record.diverged
    ]


# ---- where it stands ------------------------------------------------------------------------------------------


def comparisons(found: Sequence[Shown]) -> dict[str, list[Comparison]]:
    """For each cell, its differences to the best of its sparsity, to baselines, and between backends."""
    told: dict[str, list[Comparison]] = {}
    for each in found:
        for entry in each.view.entries:
            if entry.get("difference") is None or each.name in ("board", "budgets"):
                continue
            for cell in _cells(entry):
                told.setdefault(cell, []).append(_comparison(entry))
    return told


def _cells(entry: Mapping[str, Any]) -> list[str]:
    return [entry[name] for name in ("cell", "first_cell", "second_cell") if name in entry]


def _comparison(entry: Mapping[str, Any]) -> Comparison:
    if "first_backend" in entry:
        what = f"{entry['first_backend']} − {entry['second_backend']}"
    else:
        what = f"against {entry['baseline']}" if "baseline" in entry else "against the best of this sparsity"
    interval = Interval(entry["difference_interval"], entry["difference_low"], entry["difference_high"])
    p = entry["p_holm"]
    verdict = "not tested" if p is None else "told apart" if p < LEVEL else "not told apart"
    return Comparison(what, labels.gain(entry["difference"], interval), labels.chance(p) or "–", verdict)
