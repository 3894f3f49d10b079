"""ResNet-50 (He et al., 2016), with the stride in the 3 × 3 convolution, as in timm's `resnet50`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sparsebench.layers import Image, Layer, conv, convolved, linear
from sparsebench.models import Input, Model
from sparsebench_models.widths import Channels, as_they_are, times

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4


def layers(input: Input, channels: Channels = as_they_are) -> tuple[Layer, ...]:
    """The stem, 16 bottleneck blocks and the classifier: 54 layers."""
    return tuple(_layers(input, channels))


def _layers(input: Input, channels: Channels) -> Iterator[Layer]:
    image = input.image
    stem = channels(64)
    yield conv("conv1", input.shape[0], stem, 7, image, stride=2, role="stem", padded_apart=6)
    image = convolved(convolved(image, 7, 2), 3, 2)  # a max-pooling follows
    inputs = stem
    for stage, blocks in enumerate(BLOCKS):
        planes = channels(64 * 2**stage)
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            yield from _bottleneck(f"layer{stage + 1}.{block}", inputs, planes, image, stride)
            image = convolved(image, 3, stride)
            inputs = EXPANSION * planes
    yield linear("fc", inputs, input.classes, role="classifier")


def _bottleneck(name: str, inputs: int, planes: int, image: Image, stride: int) -> Iterator[Layer]:
    outputs, after = EXPANSION * planes, convolved(image, 3, stride)
    yield conv(f"{name}.conv1", inputs, planes, 1, image)
    yield conv(f"{name}.conv2", planes, planes, 3, image, stride=stride)
    yield conv(f"{name}.conv3", planes, outputs, 1, after)
    if stride != 1 or inputs != outputs:
        yield conv(f"{name}.downsample.0", inputs, outputs, 1, image, stride=stride)


resnet50 = Model(
    name="resnet50",
    summary="ResNet-50 for ImageNet (He et al., 2016); a layer table, not trainable yet",
    layers=layers,
    input=Input((3, 224, 224), 1000),
)

resnet50_big = Model(
    name="resnet50-big",
    summary="ResNet-50, 2.1 times as wide: at sparsity 0.8 it stores what the dense one does; a layer table",
    layers=partial(layers, channels=times(2.1)),
    input=resnet50.input,
    reference=resnet50.name,
)
