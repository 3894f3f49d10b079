"""How masks moved, as curves in per cent over iterations done, from the events and notes of a run's record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sparsebench.movement import Movement, sampled, shared

Points = Mapping[int, float]
"""Iterations done -> per cent."""


def changed(events: Sequence[Mapping[str, Any]]) -> Points:
    """Of each update: connections dropped, as a share of those that were active before it."""
    return {
        event["iteration"] + 1: _share(
            sum(layer["dropped"] for layer in event["layers"].values()),
            sum(layer["active"] - layer["grown"] + layer["dropped"] for layer in event["layers"].values()),
        )
        for event in events
        if event["kind"] == "update"
    }


def kept(movement: Movement) -> Points:
    """Connections of the run's first mask that are active, those that came back included, as a share of the mask."""
    first = int(movement.active[0].sum())
    return {i: _share(int(row.sum()), first) for i, row in _noted(movement, "overlap")}


def dead(movement: Movement, layers: Sequence[Mapping[str, Any]]) -> Points:
    """Dead outputs of all layers, as a share of their outputs; `layers` as a record lists them."""
    outputs = {layer["name"]: layer["shape"][0] for layer in layers}
    whole = sum(outputs[name] for name in movement.layers)
    return {i: _share(int(row.sum()), whole) for i, row in _noted(movement, "dead_outputs")}


def common(first: Movement, second: Movement) -> dict[int, tuple[float, float]]:
    """Iterations noted in both runs -> (share of connections that both masks have, its standard error), in per cent.

    Nothing for runs of different networks. The error is 0 where the sample is the whole network.
    """
    if (first.layers, first.sizes) != (second.layers, second.sizes):
        return {}
    ours, theirs = (dict(zip(each.iterations.tolist(), each.sampled(), strict=True)) for each in (first, second))
    whole = sampled(first.sizes) == sum(first.sizes)
    found = {i: shared(bits, theirs[i]) for i, bits in ours.items() if i in theirs}
    return {i: (100 * share, 0.0 if whole else 100 * error) for i, (share, error) in found.items()}


def chance(layers: Sequence[Mapping[str, Any]]) -> float:
    """What two random masks with the densities of these layers, as a record lists them, share on average."""
    active = sum(layer["active"] for layer in layers)
    return _share(sum(layer["active"] * layer["active"] / layer["size"] for layer in layers), active)


def _noted(movement: Movement, what: str) -> list[tuple[int, Any]]:
    return list(zip(movement.iterations.tolist(), np.asarray(getattr(movement, what)), strict=True))


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
