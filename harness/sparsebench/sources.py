"""The run that a ticket comes from, as far as it is known before this one starts: from its plan, or from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench import identity, masks, records
from sparsebench.config import RunConfig
from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.method import Method

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A run by its id; `active` are the counts it ends with, in sum exact, layer by layer only if `settled`."""

    id: str
    config: RunConfig
    document: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    active: Mapping[str, int]
    settled: bool

    def described(self) -> dict[str, Any]:
        """What a record says of its ticket's source: the cell it belongs to, and what that is in a few words."""
        config = self.config
        return {
            "cell": identity.cell(config, self.document), "method": config.method, "model": config.model,
            "dataset": config.dataset, "optimizer": config.recipe.optimizer, "sparsity": config.sparsity,
        }  # fmt: skip

    def check(self, config: RunConfig, method: Method, layers: Sequence[Layer], plan: Mapping[str, float]) -> None:
        """Refuse a ticket of another backend's run, of other shapes, or with too few connections.

        Raises:
            UserError: as said.
        """
        own = {layer.name: layer.shape for layer in layers}
        if own != dict(self.shapes):
            raise UserError(_mismatch(self, config, own))
        planned = {layer.name: masks.planned(method, layer, plan[layer.name]) for layer in layers}
        if sum(self.active.values()) < sum(planned.values()) or self.settled:
            fit(layers, self.active, planned, method, self.id)


def planned(id: str, config: RunConfig, document: Mapping[str, Any], layers: Sequence[Layer], plan: Mapping[str, float],
            method: Method) -> Source:  # fmt: skip
    """A source that may not have run yet."""
    counts = {layer.name: masks.planned(method, layer, plan[layer.name]) for layer in layers}
    shapes = {layer.name: layer.shape for layer in layers}
    return Source(id, config, document, shapes, counts, settled=not method.moves_counts)


def recorded(root: Path, id: str) -> Source:
    """A source that has run.

    Raises:
        UserError: there is no such record, or it is damaged.
    """
    if not records.NAME.fullmatch(id) or not (root / id / "result.json").is_file():
        raise UserError(
            f"there is no run {id!r} under {root} to take a ticket from: its id is the name of its record's folder"
        )
    record = records.read(root / id)
    shapes = {row["name"]: tuple(row["shape"]) for row in record.layers}
    counts = {row["name"]: int(row["active"]) for row in record.layers}
    return Source(record.id, record.config, record.identity, shapes, counts, settled=True)


def fit(layers: Sequence[Layer], now: Mapping[str, int], planned: Mapping[str, int], method: Method, id: str) -> None:
    """Refuse a ticket that has too few connections for this run, in all or in a layer that keeps its own count.

    Raises:
        UserError: as said.
    """
    have, want = sum(now.values()), sum(planned.values())
    if have < want:
        size = sum(layer.size for layer in layers)
        raise UserError(
            f"ticket {id} has {have:,} connections, sparsity {1 - have / size:.4g}, and this run is to have {want:,}: "
            "ask for at least the ticket's sparsity, or take a denser ticket"
        )
    short = [] if method.moves_counts else [name for name in planned if now[name] < planned[name]]
    if short and have != want:
        name = short[0]
        raise UserError(
            f"ticket {id} has {now[name]:,} connections in layer {name!r}, fewer than the {planned[name]:,} of this "
            "run's plan: use the distribution that the ticket was found with"
        )


def _mismatch(source: Source, config: RunConfig, own: Mapping[str, Shape]) -> str:
    names = [name for name in {**own, **source.shapes} if own.get(name) != source.shapes.get(name)]
    given, wanted = source.shapes.get(names[0]), own.get(names[0])
    return (
        f"ticket {source.id} is of {source.config.model} on {source.config.dataset} with {names[0]!r} of shape "
        f"{given}, and {config.model} on {config.dataset} has {wanted}: take a ticket of a network of the same shapes"
    )
