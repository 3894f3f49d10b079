"""Wide ResNets for 32 × 32 images (Zagoruyko and Komodakis, 2016): pre-activation blocks of two 3 × 3 convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sparsebench.layers import Image, Layer, conv, convolved, linear
from sparsebench.models import Input, Model

STEM = 16


def layers(input: Input, depth: int, width: int) -> tuple[Layer, ...]:
    """The stem, three groups of (depth − 4) / 6 blocks, and the classifier.

    Raises:
        ValueError: no such network has this depth.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"a wide ResNet has 6n + 4 layers, n at least 1; given {depth}")
    return tuple(_layers(input, (depth - 4) // 6, width))


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
    if inputs != outputs:
        yield conv(f"{name}.shortcut", inputs, outputs, 1, image, stride=stride)


def wide_resnet(depth: int, width: int) -> Model:
    """WRN-depth-width for CIFAR-10."""
    return Model(
        name=f"wrn-{depth}-{width}",
        summary=f"wide ResNet of {depth} layers, {width} times as wide, for CIFAR-10; a layer table, not trainable yet",
        layers=partial(layers, depth=depth, width=width),
        input=Input((3, 32, 32), 10),
    )


wrn_22_2 = wide_resnet(22, 2)
