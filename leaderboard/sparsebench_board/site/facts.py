"""What a cell is: its settings with what they mean, and the environments that its runs were made in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pydantic import BaseModel

from sparsebench.config import Recipe, Roles, RunConfig, Ticket, Updates
from sparsebench_board import labels
from sparsebench_board.cells import Cell
from sparsebench_board.entries import flattened
from sparsebench_board.rows import Row

GROUPS: Mapping[str, type[BaseModel]] = {"recipe": Recipe, "updates": Updates, "policy": Roles, "ticket": Ticket}


@dataclass(frozen=True)
class Setting:
    """A setting, its value, what it means, and whether it sets the cell apart from others shown with it."""

    name: str
    value: str
    meaning: str
    apart: bool


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
