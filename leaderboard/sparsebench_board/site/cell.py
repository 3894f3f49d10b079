"""What the page of a cell says: its seeds and their curves, its settings, where it ran, and how to run it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

from sparsebench import command
from sparsebench.config import Recipe, Roles, RunConfig, Ticket, Updates, digits
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.cells import Cell
from sparsebench_board.entries import flattened
from sparsebench_board.holm import LEVEL
from sparsebench_board.intervals import Interval, Kind
from sparsebench_board.pictures.curves import accuracies, losses
from sparsebench_board.rows import Row
from sparsebench_board.site.charts import Curve, curves
from sparsebench_board.site.views import Shown

WIDTH = 92
"""Characters in a line of a command."""
MEANS: Mapping[Kind, str] = {
    "t": "mean with 95 % Student-t interval, seeds", "bca": "mean with 95 % BCa interval, seeds",
    "equal": "the same with seeds", "none": "without an interval, of seed",
}  # fmt: skip
GROUPS: Mapping[str, type[BaseModel]] = {"recipe": Recipe, "updates": Updates, "policy": Roles, "ticket": Ticket}


@dataclass(frozen=True)
class Setting:
    """A setting, its value, what it means, and whether it sets the cell apart from others shown with it."""

    name: str
    value: str
    meaning: str
    apart: bool


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


@dataclass(frozen=True)
class Steps:
    """The commands that train a run again, in their order, each in lines for a shell; None: there is no such command."""

    seed: int
    commands: tuple[tuple[str, ...], ...] | None


# ---- what it reached and cost ---------------------------------------------------------------------------------


def title(row: Row) -> str:
    """`rigl 0.9 erk 5×, torch`."""
    length = f" {digits(row.multiplier)}×" if row.multiplier != 1 else ""
    distribution = f" {row.distribution}" if row.sparsity else ""
    return labels.plain(f"{row.method} {digits(row.sparsity)}{distribution}{length}, {row.backend}")


def figures(row: Row, cell: Cell) -> list[tuple[str, str, str]]:
    """What stands on top of the page: name, number, and what to know of it."""
    result = cell.records[0].result
    weights = f"{result['active_parameters']:,} of {result['parameters']:,} weights"
    return [
        (
            "test accuracy, %",
            labels.accuracy(row.accuracy, row.interval),
            f"{MEANS[row.accuracy_interval]} {labels.spans(row.seeds)}",
        ),
        ("training FLOPs", labels.ratio(row.training_ratio), _of(row.training_flops, row.dense_training_flops)),
        ("inference FLOPs", labels.ratio(row.inference_ratio), _of(row.inference_flops, row.dense_inference_flops)),
        ("size", labels.amount(row.bytes, "B"), weights),
        ("steps a second", labels.speed(row.steps_per_second), "median over seeds"),
        ("seconds of a run", labels.speed(row.seconds), f"median; {row.hardware}"),
    ]


def _of(flops: float | None, dense: float | None) -> str:
    if flops is None or dense is None:
        return "the network has operations without a count"
    return f"{labels.amount(flops, 'FLOP')} of dense {labels.amount(dense, 'FLOP')}"


def costs(cell: Cell) -> list[tuple[str, str, float]]:
    """Training FLOPs by what they were for, with the share of each in the whole, of the first run."""
    result = cell.records[0].result
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
    """Every prunable layer, of all seeds together."""
    return [_layer(same) for same in zip(*(record.layers for record in cell.records), strict=False)]


def _layer(same: Sequence[Mapping[str, Any]]) -> Layer:
    first, active = same[0], sorted({int(each["active"]) for each in same})
    size = int(first["size"])
    return Layer(
        str(first["name"]), " × ".join(map(str, first["shape"])), f"{size:,}",
        "–".join(f"{count:,}" for count in dict.fromkeys((active[0], active[-1]))),
        sum(int(each["active"]) for each in same) / max(1, size * len(same)),
    )  # fmt: skip


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


# ---- what it was ----------------------------------------------------------------------------------------------


def settings(cell: Cell, row: Row) -> dict[str, list[Setting]]:
    """All settings but the seed, by their group; those that are not set are left out."""
    everything = cell.config.model_dump(mode="json", exclude={"seed"})
    own = {name: value for name, value in everything.items() if name not in GROUPS}
    groups: dict[str, tuple[type[BaseModel], Mapping[str, Any]]] = {"run": (RunConfig, own)}
    groups |= {name: (model, everything[name] or {}) for name, model in GROUPS.items()}
    chosen = cell.identity.get("policy") or everything["policy"]
    groups["policy"] = (Roles, chosen)
    found = {name: _settings(model, values, row) for name, (model, values) in groups.items()}
    return {name: each for name, each in found.items() if each}


def _settings(model: type[BaseModel], values: Mapping[str, Any], row: Row) -> list[Setting]:
    fields = model.model_fields
    return [
        Setting(name, value, _meaning(fields[name].description) if name in fields else "", name in row.settings)
        for name, value in flattened({name: value for name, value in values.items() if value != []}).items()
    ]


def _meaning(description: str | None) -> str:
    """A setting's own words, but for the command that lists what is allowed."""
    return (description or "").partition("; see `")[0]


def environment(cell: Cell) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each field, with its value and, where seeds differ, the seeds of each value."""
    by_seed = {record.config.seed: flattened(record.environment) for record in cell.records}
    names = dict.fromkeys(chain.from_iterable(by_seed.values()))
    return [(name, _values({seed: each.get(name, "–") for seed, each in by_seed.items()})) for name in names]


def _values(by_seed: Mapping[int, str]) -> list[tuple[str, str]]:
    """Value and seeds; no seeds where all agree."""
    seeds: dict[str, list[int]] = {}
    for seed, value in by_seed.items():
        seeds.setdefault(value, []).append(seed)
    return [(value, f"seed {labels.spans(own)}" if len(seeds) > 1 else "") for value, own in seeds.items()]


def made(row: Row, cell: Cell) -> str:
    """With what it was made, on what, from which data."""
    versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
    dirty = "; + is a commit with changes that it does not hold" if "+)" in versions else ""
    data = str(cell.identity.get("data"))[:12]
    return f"Made with {versions}{dirty}; on {row.hardware}; from data whose fingerprint begins with {data}."


# ---- how to run it again --------------------------------------------------------------------------------------


def steps(record: Record, known: Mapping[str, Record]) -> Steps:
    """Commands for a run and, first, for those that its ticket comes from, as far as they are known by their ids."""
    found = [command.train(each.config, each.environment.get("device") or "cpu") for each in _ancestry(record, known)]
    commands = tuple(tuple(wrapped(words)) for words in found if words is not None)
    return Steps(record.config.seed, commands if len(commands) == len(found) else None)


def _ancestry(record: Record, known: Mapping[str, Record]) -> list[Record]:
    """A run after all that its ticket goes back to; ids in a circle, which no run has, are followed once."""
    found = {record.id: record}
    while record.config.ticket and (source := known.get(record.config.ticket.source)) and source.id not in found:
        found[source.id] = record = source
    return list(reversed(found.values()))


def wrapped(words: Iterable[str], width: int = WIDTH) -> list[str]:
    """A command over several lines, each but the last with a backslash at its end."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word if not lines else f"  {word}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
