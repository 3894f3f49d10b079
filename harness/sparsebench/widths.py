"""Networks of other widths, as layer tables: the small dense network that stores what a sparse one does.

Every channel count c becomes ⌊c·width⌋; the network's inputs and its classes stay. Source: google-research/rigl,
sparse_utils.get_stats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from sparsebench.conventions import counted_channels
from sparsebench.layers import Layer

BITS_PER_WEIGHT = 32

Layers = Sequence[Layer]
Storage = Callable[[Layers, Mapping[str, float]], float]
"""(layers, sparsities) -> what the network takes, in a unit of its own."""


def scaled(layers: Layers, width: float) -> tuple[Layer, ...]:
    """The table of a network `width` times as wide; the first layer keeps its inputs, the last its outputs.

    Layers of kind `other` stay as they are: what they cost is unknown at any width.
    """
    last = max((i for i, layer in enumerate(layers) if layer.kind != "other"), default=0)
    return tuple(
        layer if layer.kind == "other" else _scaled(layer, width, i > 0, i < last) for i, layer in enumerate(layers)
    )


def _scaled(layer: Layer, width: float, inputs: bool, outputs: bool) -> Layer:
    n_out, n_in, *kernel = layer.shape
    wide_in = n_in if layer.role == "depthwise" or not inputs else _times(n_in, width)
    wide_out = _times(n_out, width) if outputs else n_out
    wide = replace(layer, shape=(wide_out, wide_in, *kernel))
    return replace(wide, macs=layer.positions * wide.size)


def _times(channels: int, width: float) -> int:
    return max(1, int(channels * width))


def parameters(layers: Layers, sparsities: Mapping[str, float]) -> float:
    """Active weights."""
    return sum(layer.size * (1 - sparsities[layer.name]) for layer in layers)


def stored_bits(layers: Layers, sparsities: Mapping[str, float]) -> float:
    """As in the paper: 32 for each active weight and each output channel's bias, 1 for each entry of a sparse layer."""
    masks = sum(layer.size for layer in layers if sparsities[layer.name] > 0)
    biases = sum(counted_channels(layer) for layer in layers)
    return BITS_PER_WEIGHT * (parameters(layers, sparsities) + biases) + masks


STORAGES: Mapping[str, Storage] = MappingProxyType({"parameters": parameters, "bits": stored_bits})


def matching(layers: Layers, sparsities: Mapping[str, float], storage: Storage) -> float:
    """The width, in thousandths, of the dense network that comes nearest to the sparse one's storage."""
    dense = dict.fromkeys(sparsities, 0.0)
    wanted = storage(layers, sparsities)

    def takes(thousandths: int) -> float:
        return storage(scaled(layers, thousandths / 1000), dense)

    enough = bisect_left(range(1000), wanted, lo=1, key=takes)
    return min(max(1, enough - 1), enough, key=lambda width: abs(takes(width) - wanted)) / 1000
