"""Prunable tensors in one canonical form: timm's module path, torch's layout, multiply-adds per sample.

Every count, score, tie and file in the harness refers to this form, so two frameworks mean the same thing
by "the 17th entry of layer1.0.conv1".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["linear", "conv", "other"]
Role = Literal["stem", "depthwise", "classifier", "body"]
Image = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Layer:
    """One prunable tensor.

    `shape` is (out, in) for `linear` and (out, in / groups, kernel height, kernel width) for `conv`; an `other` has
    no rule in the ledger, so its FLOPs are unknown, and no mask: an operation without entries, or a layer that
    computes its kernel from its weights, so that zeros would not stay zeros. `macs` are the multiply-adds of one
    forward pass of one sample with a dense kernel. `role` is what policies speak of: the first layer (`stem`),
    depthwise kernels, the last layer (`classifier`), or `body`. `input` and `stride` are a convolution's;
    `padded_apart` are the rows of zeros that Keras' version of the network adds in an operation of its own before
    this one, for the convention `rigl-paper`.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    macs: int
    role: Role = "body"
    input: Image | None = None
    stride: int = 1
    padded_apart: int = 0

    @property
    def size(self) -> int:
        """Entries of the tensor, active or not."""
        return math.prod(self.shape)

    @property
    def positions(self) -> int:
        """How often each entry is used for one sample: 1 for a classifier, output height × width for a convolution."""
        return self.macs // self.size if self.size else 0

    @property
    def outputs(self) -> int:
        """Output elements for one sample."""
        return self.positions * self.shape[0]


def linear(name: str, inputs: int, outputs: int, role: Role = "body") -> Layer:
    """A fully connected layer; each weight is used once per sample."""
    return Layer(name, (outputs, inputs), "linear", inputs * outputs, role)


def conv(
    name: str, inputs: int, outputs: int, kernel: int, image: Image, *,
    stride: int = 1, role: Role = "body", padded_apart: int = 0,
) -> Layer:  # fmt: skip
    """A convolution of an `image` with a square kernel, padded by kernel // 2 on every side."""
    shape = (outputs, inputs, kernel, kernel)
    macs = math.prod(shape) * math.prod(convolved(image, kernel, stride))
    return Layer(name, shape, "conv", macs, role, image, stride, padded_apart)


def depthwise(name: str, channels: int, kernel: int, image: Image, *, stride: int = 1, padded_apart: int = 0) -> Layer:
    """A convolution of each channel with a kernel of its own."""
    return conv(name, 1, channels, kernel, image, stride=stride, role="depthwise", padded_apart=padded_apart)


def convolved(image: Image, kernel: int, stride: int) -> Image:
    """The output's height and width, padded by kernel // 2 on every side: ⌊(n + 2·pad − k) / stride⌋ + 1."""
    height, width = ((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in image)
    return height, width
