"""MobileNet-v1 in PyTorch: timm's `mobilenetv1_100` from timm's parts, because its entry point fixes the width."""

from __future__ import annotations

from functools import partial

from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from torch import nn

from sparsebench.models import Input
from sparsebench_models.mobilenet import BIG, STAGES, STEM, layers
from sparsebench_models.parts_torch import made
from sparsebench_models.widths import Channels, as_they_are, times


def build(input: Input, channels: Channels = as_they_are) -> nn.Module:
    """A module from (batch, channels, height, width) to logits (batch, classes)."""
    stages = [[f"dsa_r{blocks}_k3_s{stride}_c{width}"] for blocks, stride, width in STAGES]
    narrowed = times(input.width)
    module = EfficientNet(
        decode_arch_def(stages), input.classes, in_chans=input.shape[0], stem_size=STEM, num_features=0,
        round_chs_fn=lambda count: narrowed(channels(count)), act_layer=nn.ReLU6,
    )  # fmt: skip
    stem, *_ = layers(input, channels)
    if stem.stride == 1:
        module.set_submodule(stem.name, made(stem))
    return module


build_big = partial(build, channels=BIG)
