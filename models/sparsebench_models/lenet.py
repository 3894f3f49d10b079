"""LeNet-300-100: two hidden layers of 300 and 100 units with ReLU, on flattened images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sparsebench.layers import Layer, Role, linear
from sparsebench.models import Input, Model
from sparsebench.policy import EVERY_LAYER

WIDTHS = (300, 100)
ROLES: tuple[Role, ...] = ("stem", "body", "classifier")


def layers(input: Input) -> tuple[Layer, ...]:
    """fc1, fc2 and fc3, all prunable, the classifier included."""
    hidden = (max(1, int(units * input.width)) for units in WIDTHS)
    sizes = (math.prod(input.shape), *hidden, input.classes)
    return tuple(linear(f"fc{i + 1}", sizes[i], sizes[i + 1], role) for i, role in enumerate(ROLES))


def initial(input: Input, generator: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Uniform in ±1/√n_in for weights and biases alike (torch's default for a linear layer)."""
    arrays: dict[str, NDArray[np.float32]] = {}
    for layer in layers(input):
        bound = 1 / math.sqrt(layer.shape[1])
        arrays[f"{layer.name}.weight"] = generator.uniform(-bound, bound, layer.shape).astype(np.float32)
        arrays[f"{layer.name}.bias"] = generator.uniform(-bound, bound, layer.shape[:1]).astype(np.float32)
    return arrays


lenet_300_100 = Model(
    name="lenet-300-100",
    summary="multi-layer perceptron, 300 and 100 hidden units (LeCun et al., 1998)",
    layers=layers,
    initial=initial,
    input=Input((1, 28, 28), 10),
    policy=EVERY_LAYER,
    input_gradient=False,  # as in Table 2 of Evci et al., Rigging the Lottery, ICML 2020
    builders={"torch": "sparsebench_models.lenet_torch:build", "jax": "sparsebench_models.lenet_flax:build"},
)
