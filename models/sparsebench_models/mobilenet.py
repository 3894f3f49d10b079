"""MobileNet-v1 (Howard et al., 2017), named as in timm's `mobilenetv1_100`.

Images of at most 64 pixels a side meet a stem of stride 1, not 2: the other five halvings stay. Weights fit either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from sparsebench.distributions import DISTRIBUTIONS
from sparsebench.layers import Layer, conv, convolved, depthwise, linear
from sparsebench.models import Input, Model
from sparsebench.policy import Policy
from sparsebench.widths import scaled
from sparsebench_models.starts import State, he_normal, normalisations, running, uniform
from sparsebench_models.widths import Channels, as_they_are, times_in_eights

STEM = 32
STAGES = ((1, 1, 64), (2, 2, 128), (2, 2, 256), (6, 2, 512), (2, 2, 1024))
"""(blocks, stride of the first, channels)."""
SMALL = 64
"""Pixels a side up to which the stem keeps the image's size."""

BIG_WIDTH = 1.98
BIG = times_in_eights(BIG_WIDTH)


def layers(input: Input, channels: Channels = as_they_are) -> tuple[Layer, ...]:
    """The stem, 13 pairs of a depthwise and a pointwise convolution, and the classifier: 28 layers."""
    return scaled(list(_layers(input, channels)), input.width)


def _layers(input: Input, channels: Channels) -> Iterator[Layer]:
    stem = _stem(input, channels(STEM))
    yield stem
    image, inputs = convolved(input.image, 3, stem.stride), stem.shape[0]
    for stage, (blocks, first, width) in enumerate(STAGES):
        for block in range(blocks):
            name, stride, outputs = f"blocks.{stage}.{block}", 1 if block else first, channels(width)
            apart = 1 if stride == 2 else 0
            yield depthwise(f"{name}.conv_dw", inputs, 3, image, stride=stride, padded_apart=apart)
            image = convolved(image, 3, stride)
            yield conv(f"{name}.conv_pw", inputs, outputs, 1, image)
            inputs = outputs
    yield linear("classifier", inputs, input.classes, role="classifier")


def _stem(input: Input, outputs: int) -> Layer:
    if max(input.image) <= SMALL:
        return conv("conv_stem", input.shape[0], outputs, 3, input.image, role="stem")
    return conv("conv_stem", input.shape[0], outputs, 3, input.image, stride=2, role="stem", padded_apart=1)


NORMS = {"conv_stem": "bn1", "conv_dw": "bn1", "conv_pw": "bn2"}
"""Last part of a convolution's name -> that of the batch normalisation that follows."""


def norms(layers: Iterable[Layer]) -> dict[str, int]:
    """Every batch normalisation and its channels."""
    places = ((layer.name.rpartition("."), layer.shape[0]) for layer in layers if layer.kind == "conv")
    return {f"{block}{dot}{NORMS[last]}": channels for (block, dot, last), channels in places}


def initial(input: Input, generator: np.random.Generator, channels: Channels = as_they_are) -> State:
    """Kernels He-normal by fan-out and scales 1, as in timm; the classifier uniform in ±1/√n_in.

    timm draws the classifier in ±1/√classes: the same at 1000 classes (its inputs are 1024), but at 10 the first loss
    would be 4 to 7 instead of 2.3, and the first gradients ten times as large.
    """
    *convolutions, classifier = layers(input, channels)
    return {
        **he_normal(convolutions, generator),
        **normalisations(norms(convolutions)),
        **uniform(classifier, 1 / math.sqrt(classifier.shape[1]), generator),
    }


KEPT_DENSE = dict.fromkeys(DISTRIBUTIONS, Policy(stem="dense", depthwise="dense"))
"""Source: Evci et al., Rigging the Lottery, ICML 2020, section 4.1.2."""

mobilenetv1 = Model(
    name="mobilenetv1",
    summary="MobileNet-v1 for ImageNet (Howard et al., 2017); a stem of stride 1 for images of at most 64 pixels",
    layers=layers,
    initial=initial,
    input=Input((3, 224, 224), 1000),
    policy=KEPT_DENSE,
    statistics=running(layers, norms),
    timm=lambda input: "mobilenetv1_100" if max(input.image) > SMALL and input.width == 1 else None,
    draws=False,
    builders={"torch": "sparsebench_models.mobilenet_torch:build", "jax": "sparsebench_models.mobilenet_flax:build"},
)

mobilenetv1_big = Model(
    name="mobilenetv1-big",
    summary=f"MobileNet-v1, {BIG_WIDTH} times as wide: at sparsity 0.75 about as costly as the dense one",
    layers=partial(layers, channels=BIG),
    initial=partial(initial, channels=BIG),
    input=mobilenetv1.input,
    policy=KEPT_DENSE,
    reference=mobilenetv1.name,
    statistics=running(partial(layers, channels=BIG), norms),
    draws=False,
    builders={
        "torch": "sparsebench_models.mobilenet_torch:build_big",
        "jax": "sparsebench_models.mobilenet_flax:build_big",
    },
)
