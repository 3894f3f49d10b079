"""Runs that differ in nothing but their seed are one cell of the benchmark; so is what tells two cells apart.

A fact of a cell (a recipe's learning rate, a method's ΔT, a version of the numerics) is worth showing only where it
differs among cells that a reader would otherwise take to be alike: its scope.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sparsebench.config import RunConfig
from sparsebench.identity import cell as cell_of
from sparsebench.records import Record

Scope = tuple[str | float, ...]
NOTHING = ""
"""A fact that a cell has nothing to say of."""


@dataclass(frozen=True)
class Fact:
    """One setting of a cell, to be shown where it differs among cells of the same scope."""

    name: str
    value: Any
    scope: Scope


class Known(Protocol):
    """A cell as far as it is known before it has run: enough to tell it from others."""

    @property
    def id(self) -> str:
        """A hash of all that its runs share."""
        ...

    @property
    def config(self) -> RunConfig:
        """Its settings, with one of its seeds."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the id of the run of that seed is a hash of."""
        ...


@dataclass(frozen=True)
class Cell:
    """Records that differ only in the seed, one for each seed, by seed; `id` is a hash of all that they share."""

    id: str
    records: tuple[Record, ...]

    @property
    def config(self) -> RunConfig:
        """The settings that the records share; its seed is the first one's."""
        return self.records[0].config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The first record's."""
        return self.records[0].identity

    @property
    def seeds(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(record.config.seed for record in self.records)

    @property
    def reached(self) -> tuple[Record, ...]:
        """Those of its records whose runs reached their end."""
        return tuple(record for record in self.records if not record.diverged)

    @property
    def told(self) -> tuple[Record, ...]:
        """The same, or where every run diverged all of them, for what they came to until then."""
        return self.reached or self.records


def cells(records: Iterable[Record]) -> list[Cell]:
    """Every cell of some records; of two records with the same settings and seed the first counts."""
    found: defaultdict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        found[cell_of(record.config, record.identity)].setdefault(record.config.seed, record)
    return [Cell(key, tuple(seeds[seed] for seed in sorted(seeds))) for key, seeds in found.items()]


def nominal_recipe(config: RunConfig) -> dict[str, Any]:
    """The recipe at training multiplier 1: a multiplier is a column of its own and scales all lengths."""
    recipe, multiplier = config.recipe, config.multiplier
    return recipe.model_dump(mode="json") | {
        "steps": round((recipe.steps or 0) / multiplier),
        "milestones": [round(each / multiplier) for each in recipe.milestones],
        "warmup": round(recipe.warmup / multiplier),
    }


def settings(cells: Sequence[Known]) -> dict[str, dict[str, Any]]:
    """Cell id -> the settings that set it apart from other cells of these."""
    values: defaultdict[tuple[str, Scope], set[str]] = defaultdict(set)
    for fact in (fact for cell in cells for fact in _facts(cell)):
        values[fact.name, fact.scope].add(repr(fact.value))
    return {
        cell.id: {f.name: f.value for f in _facts(cell) if f.value != NOTHING and len(values[f.name, f.scope]) > 1}
        for cell in cells
    }


def twin(cell: Cell) -> str:
    """The same for cells that differ in nothing but the backend and what means something to one backend alone."""
    config, identity = cell.config, cell.identity
    own = {"seed": True, "backend": True, "ticket": {"source"}, "recipe": {"memory_format"}}
    numerics = {name: version for name, version in (identity.get("numerics") or {}).items() if name != "backend"}
    source = {name: value for name, value in (identity.get("ticket") or {}).items() if name != "cell"}
    shared = [config.model_dump(mode="json", exclude=own), numerics, source, identity.get("data")]
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]


def _facts(cell: Known) -> list[Fact]:
    config, identity = cell.config, cell.identity
    benchmark = (config.model, config.dataset)
    method, backend = (*benchmark, config.method), (*benchmark, config.backend)
    numerics = {"method": method, "model": benchmark, "backend": backend, "recipe": benchmark}
    versions = identity.get("numerics") or {}
    shared = nominal_recipe(config) | {"data": str(identity.get("data"))[:12]}
    own = {"memory_format": backend}  # a backend to which a setting means nothing has the default for it
    alike = (*method, config.backend, config.sparsity, config.multiplier)
    return [
        *(Fact(name, value, own.get(name, benchmark)) for name, value in shared.items()),
        *(Fact(name, value, method) for name, value in config.updates.model_dump(mode="json").items()),
        *(Fact(f"{name}_numerics", versions.get(name), scope) for name, scope in numerics.items()),
        *([] if config.sparsity else [Fact("distribution", config.distribution, alike)]),
        Fact("ticket", _ticket(cell), method),
        Fact("rewind", config.rewind, method),
        Fact("weights", (config.weights or NOTHING)[:12], benchmark),
    ]


def _ticket(cell: Known) -> str:
    """Where a cell's mask and weights come from, in a few words; a search at home for its own sparsity says nothing."""
    config, source = cell.config, cell.identity.get("ticket")
    if config.ticket is None or not source:
        return NOTHING
    words = [source["method"], *(["shuffled"] if config.ticket.mask == "shuffled" else [])]
    words += ["redrawn"] if config.ticket.weights == "redrawn" else []
    words += [f"of {source['dataset']}"] if source["dataset"] != config.dataset else []
    words += [f"by {source['optimizer']}"] if source["optimizer"] != config.recipe.optimizer else []
    home = config.method.startswith("lottery") and len(words) == 1
    return NOTHING if home else " ".join(words)
