"""LeNet-300-100: two hidden layers of 300 and 100 units with ReLU, on flattened images."""

from __future__ import annotations

import math

import numpy as np

from sparsebench.layers import Layer, Role, linear
from sparsebench.models import Input, Model
from sparsebench.policy import EVERY_LAYER
from sparsebench.widths import scaled
from sparsebench_models.starts import State, uniform

WIDTHS = (300, 100)
ROLES: tuple[Role, ...] = ("stem", "body", "classifier")


def layers(input: Input) -> tuple[Layer, ...]:
    """fc1, fc2 and fc3, all prunable, the classifier included."""
    sizes = (math.prod(input.shape), *WIDTHS, input.classes)
    return scaled([linear(f"fc{i + 1}", sizes[i], sizes[i + 1], role) for i, role in enumerate(ROLES)], input.width)


def initial(input: Input, generator: np.random.Generator) -> State:
    """Uniform in ±1/√n_in for weights and biases alike (torch's default for a linear layer)."""
    arrays: State = {}
    for layer in layers(input):
        arrays |= uniform(layer, 1 / math.sqrt(layer.shape[1]), generator)
    return arrays


lenet_300_100 = Model(
    name="lenet-300-100",
    summary="multi-layer perceptron, 300 and 100 hidden units (LeCun et al., 1998)",
    layers=layers,
    initial=initial,
    input=Input((1, 28, 28), 10),
    policy=EVERY_LAYER,
    input_gradient=False,  # as in Table 2 of Evci et al., Rigging the Lottery, ICML 2020
    statistics=lambda input: {},
    draws=False,
    builders={"torch": "sparsebench_models.lenet_torch:build", "jax": "sparsebench_models.lenet_flax:build"},
)
