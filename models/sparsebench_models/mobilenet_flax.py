"""MobileNet-v1 in Flax NNX, named as timm's."""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx

from sparsebench.layers import Layer
from sparsebench.models import Input
from sparsebench_models.mobilenet import BIG, STAGES, layers
from sparsebench_models.parts_flax import BatchNorm, channels_last, conv, linear
from sparsebench_models.widths import Channels, as_they_are


class Separable(nnx.Module):
    """A depthwise and a pointwise convolution, each normalised and clipped to [0, 6]."""

    def __init__(self, table: dict[str, Layer], name: str) -> None:
        spatial, pointwise = table[f"{name}.conv_dw"], table[f"{name}.conv_pw"]
        self.conv_dw, self.bn1 = conv(spatial), BatchNorm(spatial.shape[0])
        self.conv_pw, self.bn2 = conv(pointwise), BatchNorm(pointwise.shape[0])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Channels last."""
        return jax.nn.relu6(self.bn2(self.conv_pw(jax.nn.relu6(self.bn1(self.conv_dw(x))))))


class MobileNet(nnx.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, table: dict[str, Layer]) -> None:
        self.conv_stem, self.bn1 = conv(table["conv_stem"]), BatchNorm(table["conv_stem"].shape[0])
        self.blocks = nnx.List(
            [
                nnx.List([Separable(table, f"blocks.{stage}.{block}") for block in range(count)])
                for stage, (count, _, _) in enumerate(STAGES)
            ]
        )
        self.classifier = linear(table["classifier"])

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        x = jax.nn.relu6(self.bn1(self.conv_stem(channels_last(images))))
        for stage in self.blocks:
            for block in stage:
                x = block(x)
        return self.classifier(x.mean((1, 2)))


def build(input: Input, channels: Channels = as_they_are) -> nnx.Module:
    """The module, its kernels 0 until it is given a state."""
    return MobileNet({layer.name: layer for layer in layers(input, channels)})


build_big = partial(build, channels=BIG)
