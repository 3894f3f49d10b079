"""A convolutional network that trains in milliseconds: what laws of backends are checked on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsebench.layers import Layer, conv, linear
from sparsebench.models import Input, Model
from sparsebench.widths import scaled
from sparsebench_models.starts import State, he_normal, normalisations, running, uniform

CHANNELS = (8, 16)


def layers(input: Input) -> tuple[Layer, ...]:
    """Two convolutions, the second of stride 2, and a classifier of the mean over all positions."""
    first, second = CHANNELS
    table = [
        conv("conv1", input.shape[0], first, 3, input.image, role="stem"),
        conv("conv2", first, second, 3, input.image, stride=2),
        linear("fc", second, input.classes, "classifier"),
    ]
    return scaled(table, input.width)


def norms(layers: Sequence[Layer]) -> dict[str, int]:
    """A batch normalisation after each convolution."""
    return {f"bn{i + 1}": layer.shape[0] for i, layer in enumerate(layers[:2])}


def initial(input: Input, generator: np.random.Generator) -> State:
    """He-normal kernels; scales 1 and shifts 0; a uniform classifier."""
    *kernels, classifier = layers(input)
    state = he_normal(kernels, generator) | normalisations(norms(kernels))
    return state | uniform(classifier, classifier.shape[1] ** -0.5, generator)


small_conv = Model(
    name="small-conv",
    summary="two convolutions with batch normalisation, the second of stride 2: small, for checks",
    layers=layers,
    initial=initial,
    input=Input((3, 32, 32), 10),
    statistics=running(layers, norms),
    builders={"torch": "sparsebench_models.small_conv_torch:build", "jax": "sparsebench_models.small_conv_flax:build"},
)
