"""ResNet-50's 54 prunable layers, as shapes: what the benchmarks of the mask update work on."""

from __future__ import annotations

from collections.abc import Iterator

from sparsebench.layers import Layer

STAGES = ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7))
"""(width, blocks, output height and width) of each stage at 224 px."""


def resnet50() -> tuple[Layer, ...]:
    """Stem, 52 convolutions of the bottleneck blocks, classifier: 25,502,912 weights."""
    return tuple(_layers())


def _layers() -> Iterator[Layer]:
    yield _conv("conv1", 3, 64, 7, 112)
    inputs = 64
    for stage, (width, blocks, size) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            before = size if stage == 1 or block else 2 * size
            yield _conv(f"{name}.conv1", inputs, width, 1, before)
            yield _conv(f"{name}.conv2", width, width, 3, size)
            yield _conv(f"{name}.conv3", width, 4 * width, 1, size)
            if not block:
                yield _conv(f"{name}.downsample.0", inputs, 4 * width, 1, size)
            inputs = 4 * width
    yield Layer("fc", (1000, 2048), "linear", 2048 * 1000)


def _conv(name: str, inputs: int, outputs: int, kernel: int, size: int) -> Layer:
    return Layer(name, (outputs, inputs, kernel, kernel), "conv", outputs * inputs * kernel**2 * size**2)
