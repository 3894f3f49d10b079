"""ResNet-50 (He et al., 2016), with the stride in the 3 × 3 convolution, as in timm's `resnet50`.

As published it is for photographs. Images of at most 64 pixels a side get a 3 × 3 stem of stride 1, those of at most 32
no max-pooling either, as is usual on Tiny ImageNet and CIFAR: the residual blocks are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from sparsebench.layers import Image, Layer, conv, convolved, linear
from sparsebench.models import Input, Model
from sparsebench.widths import scaled
from sparsebench_models.starts import State, he_normal, normalisations, running, uniform
from sparsebench_models.widths import Channels, as_they_are, times

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4
SMALL_STEM = 64
"""Pixels a side up to which the stem keeps the image's size."""
NO_POOLING = 32
"""Pixels a side up to which no max-pooling follows."""

BIG = times(2.1)


def pooled(image: Image) -> bool:
    """Whether a 3 × 3 max-pooling of stride 2 follows the stem."""
    return max(image) > NO_POOLING


def layers(input: Input, channels: Channels = as_they_are, blocks: tuple[int, ...] = BLOCKS) -> tuple[Layer, ...]:
    """The stem, 16 bottleneck blocks and the classifier: 54 layers."""
    return scaled(list(_layers(input, channels, blocks)), input.width)


def _layers(input: Input, channels: Channels, blocks: tuple[int, ...]) -> Iterator[Layer]:
    stem = _stem(input, channels(64))
    yield stem
    image = convolved(input.image, stem.shape[2], stem.stride)
    image = convolved(image, 3, 2) if pooled(input.image) else image
    inputs = stem.shape[0]
    for stage, count in enumerate(blocks):
        planes = channels(64 * 2**stage)
        for block in range(count):
            stride = 2 if stage and not block else 1
            yield from _bottleneck(f"layer{stage + 1}.{block}", inputs, planes, image, stride)
            image = convolved(image, 3, stride)
            inputs = EXPANSION * planes
    yield linear("fc", inputs, input.classes, role="classifier")


def _stem(input: Input, outputs: int) -> Layer:
    if max(input.image) <= SMALL_STEM:
        return conv("conv1", input.shape[0], outputs, 3, input.image, role="stem")
    return conv("conv1", input.shape[0], outputs, 7, input.image, stride=2, role="stem", padded_apart=6)


def _bottleneck(name: str, inputs: int, planes: int, image: Image, stride: int) -> Iterator[Layer]:
    outputs, after = EXPANSION * planes, convolved(image, 3, stride)
    yield conv(f"{name}.conv1", inputs, planes, 1, image)
    yield conv(f"{name}.conv2", planes, planes, 3, image, stride=stride)
    yield conv(f"{name}.conv3", planes, outputs, 1, after)
    if stride != 1 or inputs != outputs:
        yield conv(f"{name}.downsample.0", inputs, outputs, 1, image, stride=stride)


def norm(convolution: str) -> str:
    """The batch normalisation that follows a convolution: `bn2` after `conv2`, `downsample.1` after `downsample.0`."""
    return convolution.replace("conv", "bn").replace("downsample.0", "downsample.1")


def norms(layers: Iterable[Layer]) -> dict[str, int]:
    """Every batch normalisation and its channels."""
    return {norm(layer.name): layer.shape[0] for layer in layers if layer.kind == "conv"}


def initial(
    input: Input, generator: np.random.Generator, channels: Channels = as_they_are, blocks: tuple[int, ...] = BLOCKS
) -> State:
    """As timm: kernels He-normal by fan-out, each block's last scale 0, the classifier uniform in ±1/√n_in."""
    *convolutions, classifier = layers(input, channels, blocks)
    found = norms(convolutions)
    return {
        **he_normal(convolutions, generator),
        **normalisations(found, zero={name for name in found if name.endswith("bn3")}),
        **uniform(classifier, 1 / math.sqrt(classifier.shape[1]), generator),
    }


resnet50 = Model(
    name="resnet50",
    summary="ResNet-50 for ImageNet (He et al., 2016); a small stem for images of at most 64 pixels",
    layers=layers,
    initial=initial,
    input=Input((3, 224, 224), 1000),
    statistics=running(layers, norms),
    timm=lambda input: "resnet50" if max(input.image) > SMALL_STEM and input.width == 1 else None,
    draws=False,
    builders={"torch": "sparsebench_models.resnet_torch:build", "jax": "sparsebench_models.resnet_flax:build"},
)

resnet50_big = Model(
    name="resnet50-big",
    summary="ResNet-50, 2.1 times as wide: at sparsity 0.8 it stores what the dense one does",
    layers=partial(layers, channels=BIG),
    initial=partial(initial, channels=BIG),
    input=resnet50.input,
    reference=resnet50.name,
    statistics=running(partial(layers, channels=BIG), norms),
    draws=False,
    builders={"torch": "sparsebench_models.resnet_torch:build_big", "jax": "sparsebench_models.resnet_flax:build_big"},
)
