"""ResNet-50 in PyTorch: timm's own, with the stem and the channels of the layer table."""

from __future__ import annotations

from functools import partial

import timm
from torch import nn

from sparsebench.models import Input
from sparsebench_models.parts_torch import fit
from sparsebench_models.resnet import BIG, BLOCKS, layers, norms, pooled
from sparsebench_models.widths import Channels, as_they_are


def build(input: Input, channels: Channels = as_they_are, blocks: tuple[int, ...] = BLOCKS) -> nn.Module:
    """A module from (batch, channels, height, width) to logits (batch, classes)."""
    module = timm.create_model("resnet50", in_chans=input.shape[0], num_classes=input.classes, layers=blocks)
    table = layers(input, channels, blocks)
    fit(module, table, norms(table))
    if not pooled(input.image):
        module.set_submodule("maxpool", nn.Identity())
    return module


build_big = partial(build, channels=BIG)
