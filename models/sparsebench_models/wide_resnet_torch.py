"""Wide ResNets in PyTorch, of any depth and width: as the layer table says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from sparsebench.layers import Layer
from sparsebench.models import Input
from sparsebench_models.parts_torch import Dropout, made
from sparsebench_models.wide_resnet import DROPOUT, groups, wrn_22_2


class Block(nn.Module):
    """Two convolutions, each after a normalisation and a ReLU, beside the input or its projection."""

    def __init__(self, table: dict[str, Layer], name: str, rate: float) -> None:
        super().__init__()
        first, second, projection = table[f"{name}.conv1"], table[f"{name}.conv2"], table.get(f"{name}.shortcut")
        self.bn1, self.conv1 = nn.BatchNorm2d(first.shape[1]), made(first)
        self.bn2, self.conv2 = nn.BatchNorm2d(second.shape[1]), made(second)
        self.dropout = Dropout(rate, name)
        self.shortcut = made(projection) if projection else None

    def forward(self, x: Tensor) -> Tensor:
        """A projection starts from the normalised input, the identity from the input itself."""
        active = relu(self.bn1(x))
        left = self.conv2(self.dropout(relu(self.bn2(self.conv1(active)))))
        return left + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """A module from (batch, channels, height, width) to logits (batch, classes)."""

    def __init__(self, layers: Sequence[Layer], rate: float) -> None:
        super().__init__()
        table = {layer.name: layer for layer in layers}
        self.conv1 = made(table["conv1"])
        self.block1, self.block2, self.block3 = (
            nn.Sequential(*(Block(table, name, rate) for name in names)) for names in groups(layers)
        )
        self.bn, self.fc = nn.BatchNorm2d(table["fc"].shape[1]), made(table["fc"])

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.block3(self.block2(self.block1(self.conv1(images))))
        return self.fc(relu(self.bn(x)).mean((2, 3)))


def build(input: Input, rate: float = 0.0) -> nn.Module:
    """WRN-22-2, with dropout at this rate."""
    return WideResNet(wrn_22_2.layers(input), rate)


build_with_dropout = partial(build, rate=DROPOUT)
