"""What stands in one panel: rows of one model, data set and recipe, with their runs; and what each is called there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.cells import Cell, cells, nominal_recipe, settings
from sparsebench_board.columns import distributions
from sparsebench_board.groups import grouped
from sparsebench_board.labels import pairs, plain
from sparsebench_board.pictures.style import Look, looks
from sparsebench_board.rows import Row, rows


@dataclass(frozen=True)
class Member:
    """A row and the cell that it is of. `name` says what it is in its panel, but for sparsity and backend."""

    row: Row
    cell: Cell
    name: str


@dataclass(frozen=True)
class Group:
    """The members of a panel, or of several that differ in sparsity: they never mix models, data sets or recipes."""

    title: str
    members: tuple[Member, ...]

    @property
    def sparsities(self) -> list[float]:
        """Those of its sparse members, ascending."""
        return sorted({member.row.sparsity for member in self.members if member.row.sparsity})

    def at(self, sparsity: float) -> list[Member]:
        """Its members of one sparsity."""
        return [member for member in self.members if member.row.sparsity == sparsity]


def reached(groups: Sequence[Group]) -> list[Group]:
    """Groups without the members of which every seed diverged, and without those that have no others."""
    kept = [replace(group, members=tuple(each for each in group.members if each.row.seeds)) for group in groups]
    return [group for group in kept if group.members]


def groups(records: Sequence[Record]) -> list[Group]:
    """Every row of some records, in the order of the board, by model, data set and recipe.

    Raises:
        UserError: there are none, or as `rows` does.
    """
    if not records:
        raise UserError("there are no runs to draw: `sparsebench run quick` makes some")
    found = {cell.id: cell for cell in cells(records)}
    shown = settings(list(found.values()))
    every = rows(records)
    parts = grouped(((row, found[row.cell]) for row in every), lambda pair: _recipe(pair[1]))
    return [Group(_title(part[0][1], shown), tuple(_named(part, every))) for part in parts]


def _recipe(cell: Cell) -> tuple[object, ...]:
    shared = {name: value for name, value in _facts(cell).items() if name != "memory_format"}
    return cell.config.model, cell.config.dataset, json.dumps(shared, sort_keys=True)


def _facts(cell: Cell) -> dict[str, Any]:
    return nominal_recipe(cell.config) | {"data": str(cell.identity.get("data"))[:12]}


def _title(cell: Cell, shown: Mapping[str, Mapping[str, Any]]) -> str:
    """`lenet-300-100 on digits`, with what sets the recipe apart from others of the same records."""
    facts = {name: value for name, value in shown[cell.id].items() if name in _facts(cell)}
    apart = f", {pairs(facts)}" if facts else ""
    return plain(f"{cell.config.model} on {cell.config.dataset}{apart}")


def _named(part: Sequence[tuple[Row, Cell]], every: Sequence[Row]) -> list[Member]:
    own = settings([cell for _, cell in part])
    return [Member(row, cell, called(row, every, own[cell.id])) for row, cell in part]


def called(row: Row, others: Sequence[Row], settings: Mapping[str, Any]) -> str:
    """`rigl`, `rigl uniform 5×`: distribution and length only where they tell rows of the whole picture apart."""
    several = row.sparsity and len(distributions(others)) > 1
    length = any(other.multiplier != 1 for other in others)
    parts = (
        row.method, row.distribution if several else "", f"{digits(row.multiplier)}×" if length else "",
        pairs(settings),
    )  # fmt: skip
    return plain(" ".join(part for part in parts if part))


def named_looks(groups: Sequence[Group]) -> dict[str, Look]:
    """Name -> look, by name, dense first; of a method's names the most frequent has the method's look."""
    members = [member for group in groups for member in group.members]
    methods = {member.name: member.row.method for member in members}
    counts = Counter(member.name for member in members)
    found = looks({name: methods[name] for name in sorted(counts, key=lambda name: (-counts[name], name))})
    return {name: found[name] for name in sorted(found, key=lambda name: (methods[name] != "dense", name))}


def by_name(members: Iterable[Member]) -> list[list[Member]]:
    """Members that differ in sparsity alone, each list by sparsity."""
    ordered = sorted(members, key=lambda member: (member.name, member.row.backend, member.row.sparsity))
    return grouped(ordered, lambda member: (member.name, member.row.backend))
