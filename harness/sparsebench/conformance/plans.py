"""What the harness plans for a method where every layer has the same sparsity; the suite asks for it here alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sparsebench import masks
from sparsebench.layers import Layer
from sparsebench.masks import Counts, Masks, Weights
from sparsebench.method import Event, Method


def first_masks(method: Method, layers: Sequence[Layer], sparsity: float, weights: Weights, seed: int) -> Masks:
    """The masks that a run starts from; a dense method has none."""
    return masks.first_masks(method, layers, _evenly(layers, method.first(sparsity)), weights, seed)


def first_count(method: Method, layer: Layer, sparsity: float) -> int:
    """Active entries of a layer in the first masks."""
    return masks.planned(method, layer, method.first(sparsity))


def starts_dense(method: Method) -> bool:
    """Whether no connection is inactive before the first update, whatever the sparsity."""
    return method.initial_sparsity == 0.0


def counts(
    method: Method, layers: Sequence[Layer], sparsity: float, now: Mapping[str, int], event: Event
) -> dict[str, Counts]:
    """What one event is to do to each layer; `now` are the active counts before it."""
    first, last = (_evenly(layers, each) for each in (method.first(sparsity), sparsity))
    return masks.budget(method, layers, last, now, event, first)


def _evenly(layers: Sequence[Layer], sparsity: float) -> dict[str, float]:
    return {layer.name: sparsity for layer in layers}
