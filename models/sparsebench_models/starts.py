"""Initial states in NumPy, by canonical name: what every framework starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsebench.layers import Layer
from sparsebench.models import Input

State = dict[str, NDArray[np.float32]]
Norms = Mapping[str, int]
"""Name of a batch normalisation -> its channels."""


def he_normal(layers: Iterable[Layer], generator: np.random.Generator) -> State:
    """Kernels of variance 2 / (k² · outputs / groups): He et al., 2015, by fan-out.

    Source: timm's `ResNet.init_weights` (`kaiming_normal_(mode="fan_out")`), and its `efficientnet_init_weights`
    for MobileNets, which alone divides by the groups of a depthwise convolution.
    """
    return {f"{layer.name}.weight": _he_normal(layer, generator) for layer in layers}


def _he_normal(layer: Layer, generator: np.random.Generator) -> NDArray[np.float32]:
    outputs, _, *kernel = layer.shape
    fan_out = math.prod(kernel) * (1 if layer.role == "depthwise" else outputs)
    return generator.standard_normal(layer.shape, np.float32) * np.float32(math.sqrt(2 / fan_out))


def uniform(layer: Layer, bound: float, generator: np.random.Generator) -> State:
    """Weights and biases in ±bound."""
    return {
        f"{layer.name}.weight": generator.uniform(-bound, bound, layer.shape).astype(np.float32),
        f"{layer.name}.bias": generator.uniform(-bound, bound, layer.shape[:1]).astype(np.float32),
    }


Shapes = dict[str, tuple[int, ...]]


def running(
    layers: Callable[[Input], Sequence[Layer]], norms: Callable[[Sequence[Layer]], Norms]
) -> Callable[[Input], Shapes]:
    """The shapes of a model's running means and variances, from its layer table and what follows each layer."""
    return lambda input: {
        f"{name}.running_{which}": (c,) for name, c in norms(layers(input)).items() for which in ("mean", "var")
    }


def normalisations(norms: Norms, zero: Collection[str] = ()) -> State:
    """Scales 1, or 0 for those in `zero`; biases 0."""
    scales: State = {f"{name}.weight": np.full(c, name not in zero, np.float32) for name, c in norms.items()}
    return scales | {f"{name}.bias": np.zeros(c, np.float32) for name, c in norms.items()}
