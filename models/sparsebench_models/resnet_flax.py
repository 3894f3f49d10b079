"""ResNet-50 in Flax NNX, named as timm's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
from flax import nnx

from sparsebench.layers import Layer
from sparsebench.models import Input
from sparsebench_models.parts_flax import BatchNorm, channels_last, conv, linear, max_pool
from sparsebench_models.resnet import BIG, BLOCKS, layers, pooled
from sparsebench_models.widths import Channels, as_they_are

Table = Mapping[str, Layer]


class Bottleneck(nnx.Module):
    """Three convolutions, each normalised, beside the input or its projection."""

    def __init__(self, table: Table, name: str) -> None:
        first, second, third = (table[f"{name}.conv{i}"] for i in (1, 2, 3))
        self.conv1, self.bn1 = conv(first), BatchNorm(first.shape[0])
        self.conv2, self.bn2 = conv(second), BatchNorm(second.shape[0])
        self.conv3, self.bn3 = conv(third), BatchNorm(third.shape[0])
        projection = table.get(f"{name}.downsample.0")
        self.downsample = nnx.List([conv(projection), BatchNorm(projection.shape[0])] if projection else [])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Channels last."""
        left = nnx.relu(self.bn1(self.conv1(x)))
        left = nnx.relu(self.bn2(self.conv2(left)))
        left = self.bn3(self.conv3(left))
        for part in self.downsample:
            x = part(x)
        return nnx.relu(left + x)


class ResNet(nnx.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, table: Table, blocks: tuple[int, ...], pooled: bool) -> None:
        self.pooled = pooled
        self.conv1, self.bn1 = conv(table["conv1"]), BatchNorm(table["conv1"].shape[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nnx.List([Bottleneck(table, f"layer{stage}.{block}") for block in range(count)])
            for stage, count in enumerate(blocks, start=1)
        )
        self.fc = linear(table["fc"])

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        x = nnx.relu(self.bn1(self.conv1(channels_last(images))))
        if self.pooled:
            x = max_pool(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x)
        return self.fc(x.mean((1, 2)))


def build(input: Input, channels: Channels = as_they_are, blocks: tuple[int, ...] = BLOCKS) -> nnx.Module:
    """The module, its kernels 0 until it is given a state."""
    table = {layer.name: layer for layer in layers(input, channels, blocks)}
    return ResNet(table, blocks, pooled(input.image))


build_big = partial(build, channels=BIG)
