"""The small convolutional network in PyTorch."""

from collections import OrderedDict

from torch import nn

from sparsebench.models import Input
from sparsebench_models.parts_torch import made
from sparsebench_models.small_conv import layers


def build(input: Input) -> nn.Module:
    """A module from (batch, channels, height, width) to logits (batch, classes)."""
    first, second, classifier = layers(input)
    parts = {
        "conv1": made(first), "bn1": nn.BatchNorm2d(first.shape[0]), "relu1": nn.ReLU(),
        "conv2": made(second), "bn2": nn.BatchNorm2d(second.shape[0]), "relu2": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": made(classifier),
    }  # fmt: skip
    return nn.Sequential(OrderedDict(parts))
