"""Prunable tensors in one canonical form: timm's module path, torch's layout, multiply-adds per sample.

Every count, score, tie and file in the harness refers to this form, so two frameworks mean the same thing
by "the 17th entry of layer1.0.conv1".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layer:
    """One prunable tensor.

    `shape` is (out, in) for `linear` and (out, in / groups, kernel height, kernel width) for `conv`.
    `macs` are the multiply-adds of one forward pass of one sample with a dense kernel.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["linear", "conv"]
    macs: int

    @property
    def size(self) -> int:
        """Entries of the tensor, active or not."""
        return math.prod(self.shape)


def linear(name: str, inputs: int, outputs: int) -> Layer:
    """A fully connected layer; each weight is used once per sample."""
    return Layer(name, (outputs, inputs), "linear", inputs * outputs)
