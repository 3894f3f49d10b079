"""Wide ResNets for 32 × 32 images (Zagoruyko and Komodakis, 2016): pre-activation blocks of two 3 × 3 convolutions.

Every normalisation comes before its convolution; dropout, where there is any, between the two of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from sparsebench.layers import Image, Layer, conv, convolved, linear
from sparsebench.models import Input, Model
from sparsebench.widths import scaled
from sparsebench_models.starts import State, he_normal, normalisations, running, uniform

STEM = 16
DROPOUT = 0.3
"""The paper's rate."""


def layers(input: Input, depth: int, width: int) -> tuple[Layer, ...]:
    """The stem, three groups of (depth − 4) / 6 blocks, and the classifier.

    Raises:
        ValueError: no such network has this depth.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"a wide ResNet has 6n + 4 layers, n at least 1; given {depth}")
    return scaled(list(_layers(input, (depth - 4) // 6, width)), input.width)


def _layers(input: Input, blocks: int, width: int) -> Iterator[Layer]:
    image = input.image
    yield conv("conv1", input.shape[0], STEM, 3, image, role="stem")
    inputs = STEM
    for group in range(3):
        outputs = STEM * 2**group * width
        for block in range(blocks):
            stride = 2 if group and not block else 1
            yield from _block(f"block{group + 1}.{block}", inputs, outputs, image, stride)
            image = convolved(image, 3, stride)
            inputs = outputs
    yield linear("fc", inputs, input.classes, role="classifier")


def _block(name: str, inputs: int, outputs: int, image: Image, stride: int) -> Iterator[Layer]:
    yield conv(f"{name}.conv1", inputs, outputs, 3, image, stride=stride)
    yield conv(f"{name}.conv2", outputs, outputs, 3, convolved(image, 3, stride))
    if stride != 1 or inputs != outputs:
        yield conv(f"{name}.shortcut", inputs, outputs, 1, image, stride=stride)


def groups(layers: Iterable[Layer]) -> list[list[str]]:
    """The names of the blocks, group by group: [[`block1.0`, …], [`block2.0`, …], …]."""
    names = [layer.name.removesuffix(".conv1") for layer in layers if layer.name.endswith(".conv1")]
    return [list(group) for _, group in groupby(names, key=lambda name: name.partition(".")[0])]


def norms(layers: Iterable[Layer]) -> dict[str, int]:
    """Every batch normalisation and its channels: one before each 3 × 3 convolution of a block, and the last."""
    _, *inner, classifier = layers
    before = {layer.name.replace("conv", "bn"): layer.shape[1] for layer in inner if ".conv" in layer.name}
    return {**before, "bn": classifier.shape[1]}


def initial(input: Input, generator: np.random.Generator, depth: int, width: int) -> State:
    """Kernels He-normal by fan-out, the classifier uniform in ±1/√n_in, as in timm's ResNets; every scale 1.

    No scale is 0, as the last of a ResNet's block is: here a ReLU follows it, whose derivative at 0 is 0, and the
    block would never learn.
    """
    *convolutions, classifier = table = layers(input, depth, width)
    return {
        **he_normal(convolutions, generator),
        **normalisations(norms(table)),
        **uniform(classifier, 1 / math.sqrt(classifier.shape[1]), generator),
    }


def wide_resnet(depth: int, width: int) -> Model:
    """The specification of WRN-depth-width for CIFAR-10; the builder modules build it from its layer table."""
    return Model(
        name=f"wrn-{depth}-{width}",
        summary=f"wide ResNet of {depth} layers, {width} times as wide, for CIFAR-10",
        layers=partial(layers, depth=depth, width=width),
        initial=partial(initial, depth=depth, width=width),
        statistics=running(partial(layers, depth=depth, width=width), norms),
        input=Input((3, 32, 32), 10),
        draws=False,
    )


wrn_22_2 = replace(
    wide_resnet(22, 2),
    builders={
        "torch": "sparsebench_models.wide_resnet_torch:build",
        "jax": "sparsebench_models.wide_resnet_flax:build",
    },
)

wrn_22_2_dropout = replace(
    wrn_22_2,
    name=f"{wrn_22_2.name}-dropout",
    summary=f"{wrn_22_2.summary}; dropout {DROPOUT} in every block",
    draws=True,
    builders={
        "torch": "sparsebench_models.wide_resnet_torch:build_with_dropout",
        "jax": "sparsebench_models.wide_resnet_flax:build_with_dropout",
    },
)
