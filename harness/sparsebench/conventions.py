"""What one layer costs in FLOPs, by named conventions: pure functions of a layer and its density.

Papers and libraries disagree by a few per cent; a ratio means little without the name of its convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from sparsebench.layers import Layer

Convention = Callable[[Layer, float], float]
"""(layer, density) -> FLOPs of its forward pass for one sample; UNKNOWN where there is no rule."""

UNKNOWN = math.nan
"""Of an operation without a rule; it makes every sum it enters unknown too, never 0."""


def known(count: float) -> float | None:
    """The count as a document has it: None stands for unknown."""
    return None if math.isnan(count) else count


def told(count: float | None) -> float:
    """The count that a document tells."""
    return UNKNOWN if count is None else count


def plain(layer: Layer, density: float) -> float:
    """2 FLOPs per multiply-add, true output sizes, nothing else."""
    return UNKNOWN if layer.kind == "other" else 2 * layer.macs * density


def rigl_paper(layer: Layer, density: float) -> float:
    """As printed in Evci et al., Rigging the Lottery, ICML 2020: `plain`, one more per output element, larger sizes.

    The one more is an activation's, also where none follows, and for one channel of a depthwise convolution.
    Convolutions are counted as padded by kernel // 2 on every side; where the network adds zeros in an operation of
    its own, they are counted on top: 115 × 115 outputs for ResNet's stem.
    Source: google-research/rigl, sparse_utils.get_stats and both counting colabs; google-research,
    micronet_challenge/counting.py.
    """
    return _counted_positions(layer) * (2 * layer.size * density + counted_channels(layer))


def counted_channels(layer: Layer) -> int:
    """Output channels as the paper's code sees them: 1 for a depthwise convolution."""
    return 1 if layer.role == "depthwise" else layer.shape[0]


def _counted_positions(layer: Layer) -> float:
    if layer.kind == "linear":
        return layer.positions
    if layer.kind == "other" or layer.input is None:
        return UNKNOWN
    return math.prod(
        -(-(side + layer.padded_apart + 2 * (kernel // 2) - kernel + 1) // layer.stride)
        for side, kernel in zip(layer.input, layer.shape[2:], strict=True)
    )


CONVENTIONS: Mapping[str, Convention] = MappingProxyType({"plain": plain, "rigl-paper": rigl_paper})
