"""Wide ResNets in Flax NNX, of any depth and width: as the layer table says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
from flax import nnx

from sparsebench.layers import Layer
from sparsebench.models import Input
from sparsebench_models.parts_flax import BatchNorm, Dropout, channels_last, conv, linear
from sparsebench_models.wide_resnet import DROPOUT, groups, wrn_22_2


class Block(nnx.Module):
    """Two convolutions, each after a normalisation and a ReLU, beside the input or its projection."""

    def __init__(self, table: dict[str, Layer], name: str, rate: float) -> None:
        first, second, projection = table[f"{name}.conv1"], table[f"{name}.conv2"], table.get(f"{name}.shortcut")
        self.bn1, self.conv1 = BatchNorm(first.shape[1]), conv(first)
        self.bn2, self.conv2 = BatchNorm(second.shape[1]), conv(second)
        self.dropout = Dropout(rate, name)
        self.shortcut = conv(projection) if projection else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Channels last; a projection starts from the normalised input, the identity from the input itself."""
        active = nnx.relu(self.bn1(x))
        left = self.conv2(self.dropout(nnx.relu(self.bn2(self.conv1(active)))))
        return left + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nnx.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, layers: Sequence[Layer], rate: float) -> None:
        table = {layer.name: layer for layer in layers}
        self.conv1 = conv(table["conv1"])
        self.block1, self.block2, self.block3 = (
            nnx.List([Block(table, name, rate) for name in names]) for names in groups(layers)
        )
        self.bn, self.fc = BatchNorm(table["fc"].shape[1]), linear(table["fc"])

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        x = self.conv1(channels_last(images))
        for group in (self.block1, self.block2, self.block3):
            for block in group:
                x = block(x)
        return self.fc(nnx.relu(self.bn(x)).mean((1, 2)))


def build(input: Input, rate: float = 0.0) -> nnx.Module:
    """WRN-22-2, with dropout at this rate; its kernels are 0 until it is given a state."""
    return WideResNet(wrn_22_2.layers(input), rate)


build_with_dropout = partial(build, rate=DROPOUT)
