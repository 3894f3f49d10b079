"""LeNet-300-100 in PyTorch."""

from collections import OrderedDict

from torch import nn

from sparsebench.models import Input
from sparsebench_models.lenet import layers


def build(input: Input) -> nn.Module:
    """A module from (batch, channels, height, width) to logits (batch, classes)."""
    fc1, fc2, fc3 = (nn.Linear(layer.shape[1], layer.shape[0]) for layer in layers(input))
    named = [
        ("flatten", nn.Flatten()),
        ("fc1", fc1),
        ("relu1", nn.ReLU()),
        ("fc2", fc2),
        ("relu2", nn.ReLU()),
    ]
    return nn.Sequential(OrderedDict([*named, ("fc3", fc3)]))
