"""Where a run begins: weights and masks of its own, or a ticket, the mask of another run and what it was rewound to.

A ticket as dense as this run is taken as it is; a denser one is pruned to this run's plan by the magnitude of the
weights its run ended with. A round of a lottery-ticket search is such a run, whose source is the round before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sparsebench import noise, plugins, records
from sparsebench.conventions import told
from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.masks import Counts, Masks, Weights, chosen, first_masks, host_noise, keep, planned, ranked, settled
from sparsebench.method import Method, Signals, each_layer, magnitude
from sparsebench.models import Input, initial_weights
from sparsebench.prepare import Prepared
from sparsebench.records import Record
from sparsebench.sources import fit

REDRAWN = 1
"""Which draw of initial weights a ticket gets that is not rewound: another than any run starts from by itself."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """A run's first state: iterations before `start` are the source's; `flops` is what it and its search have cost,
    `UNKNOWN` included."""

    weights: Weights
    masks: Masks
    sparsities: Mapping[str, float]
    start: int = 0
    flops: float = 0


def fresh(prepared: Prepared) -> Beginning:
    """The weights that the run is given, or initial ones of its own, and its first masks."""
    task, seed = prepared.task, prepared.config.seed
    weights = prepared.start.arrays if prepared.start else initial_weights(task.model, task.input, seed)
    masks = first_masks(prepared.method, task.prunable, prepared.first, weights, seed)
    return Beginning(weights, masks, prepared.sparsities)


def read(prepared: Prepared, root: Path) -> Beginning | None:
    """The beginning that the run's ticket gives it; None: it has none.

    Raises:
        UserError: a record is missing or damaged, its run diverged, or the ticket does not fit.
    """
    ticket, task, seed = prepared.config.ticket, prepared.task, prepared.config.seed
    if ticket is None:
        return None
    source = records.read(root / ticket.source)
    if source.diverged:
        raise UserError(
            f"the run that its ticket is to come from, {source.id}, {source.diverged}; there is no mask to start from: "
            "ask for another source, or lower the learning rate of both"
        )
    origin = _origin(source, root)
    start = origin.config.rewind if ticket.weights == "rewound" else 0
    redrawn = ticket.weights == "redrawn"
    weights = initial_weights(task.model, task.input, seed, REDRAWN) if redrawn else _rewound(origin, prepared)
    masks = _pruned(prepared, source)
    _check_pattern(prepared.method, task.prunable, masks, source.id)
    if ticket.mask == "shuffled":
        masks = {layer.name: _shuffled(prepared.method, layer, masks[layer.name], seed) for layer in task.prunable}
    sparsities = {layer.name: holding(layer.size, int(masks[layer.name].sum())) for layer in task.prunable}
    return Beginning(weights, masks, sparsities, start, told(source.result["training_flops"]))


def _origin(record: Record, root: Path) -> Record:
    """The run that a chain of tickets began with."""
    while record.config.ticket is not None:
        record = records.read(root / record.config.ticket.source)
    return record


def _rewound(origin: Record, prepared: Prepared) -> Weights:
    """What the origin started from, or was at the step that it kept."""
    if origin.config.rewind:
        return origin.rewind()
    if origin.config.weights:
        raise UserError(
            f"the ticket's search began with {origin.id}, which started from weights that its record does not hold: "
            "keep those of a step with --rewind, or use --ticket.weights redrawn"
        )
    input = Input(prepared.task.dataset.shape, prepared.task.dataset.classes)
    return initial_weights(plugins.load("models", origin.config.model), input, origin.config.seed)


def _pruned(prepared: Prepared, source: Record) -> Masks:
    """The source's mask, or as much of it as the plan allows, by the weights that the source ended with."""
    layers, method = prepared.task.prunable, prepared.method
    found, weights = source.masks(), source.weights()
    masks = {layer.name: found.get(layer.name, np.ones(layer.shape, np.bool_)) for layer in layers}
    now = {name: int(mask.sum()) for name, mask in masks.items()}
    wanted = {layer.name: planned(method, layer, prepared.sparsities[layer.name]) for layer in layers}
    if sum(now.values()) == sum(wanted.values()):
        return masks
    fit(layers, now, wanted, method, source.id)
    signals = [Signals(weights[f"{layer.name}.weight"], None, masks[layer.name], _silent) for layer in layers]
    by_magnitude = replace(method, drop=magnitude, grow=magnitude)
    budget = {name: Counts(count, 0) for name, count in wanted.items()}
    if method.rank is not each_layer:
        held, _ = ranked(np, by_magnitude, layers, signals, [budget[layer.name] for layer in layers])
        budget = settled(budget, {layer.name: int(count) for layer, count in zip(layers, held, strict=True)})
    return {
        layer.name: keep(np, by_magnitude, layer, own, budget[layer.name])[0]
        for layer, own in zip(layers, signals, strict=True)
    }


def _check_pattern(method: Method, layers: Sequence[Layer], masks: Masks, id: str) -> None:
    for layer in layers:
        if method.pattern and not method.pattern.holds(layer, masks[layer.name]):
            raise UserError(
                f"ticket {id} does not follow the pattern of method {method.name!r} in layer {layer.name!r}: take one "
                "found with that pattern, or a denser one"
            )


def _silent(purpose: str) -> object:
    raise AssertionError(f"magnitude draws no noise, asked for {purpose!r}")


def _shuffled(method: Method, layer: Layer, mask: np.ndarray, seed: int) -> np.ndarray:
    """As many entries, anywhere that the method's pattern allows."""
    return chosen(method, layer, host_noise(layer, noise.key(seed, 0, layer.name))("shuffle"), int(mask.sum()))


def holding(size: int, count: int) -> float:
    """A sparsity at which a layer has exactly `count` active entries: half an entry away from where ⌊s·N⌋ turns."""
    return 0.0 if count == size else (size - count + 0.5) / size
