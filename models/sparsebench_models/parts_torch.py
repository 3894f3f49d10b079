"""Modules in PyTorch, made from the layer table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sparsebench import noise
from sparsebench.layers import Layer


def made(layer: Layer) -> nn.Module:
    """A classifier, or a convolution without bias, padded by k // 2."""
    if layer.kind == "linear":
        return nn.Linear(layer.shape[1], layer.shape[0])
    outputs, inputs, kernel, _ = layer.shape
    groups = outputs if layer.role == "depthwise" else 1
    return nn.Conv2d(inputs * groups, outputs, kernel, layer.stride, kernel // 2, groups=groups, bias=False)


def fit(module: nn.Module, layers: Iterable[Layer], norms: Mapping[str, int]) -> None:
    """Replace what is not of the table's shape by what is."""
    for layer in layers:
        if module.get_parameter(f"{layer.name}.weight").shape != layer.shape:
            module.set_submodule(layer.name, made(layer))
    for name, channels in norms.items():
        if len(module.get_parameter(f"{name}.weight")) != channels:
            module.set_submodule(name, nn.BatchNorm2d(channels))


class Dropout(nn.Module):
    """Zeroes entries at this rate while training, keyed by a counter that is part of the state.

    So a run that continues from a snapshot drops what it would have dropped. The other framework draws other entries;
    and so does each replica of a run on several devices, for it sees other samples.
    Off the CPU, where to read the counter would be to wait, torch's generator draws: a trainer keys it for each step.
    """

    count: Tensor

    def __init__(self, rate: float, name: str) -> None:
        super().__init__()
        self.rate, self.name = rate, name
        if rate:
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; what is kept grows by 1 / (1 − rate)."""
        if not (self.rate and self.training):
            return x
        generator = self._keyed() if x.device.type == "cpu" else None
        self.count += 1
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)

    def _keyed(self) -> torch.Generator:
        replica = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        return torch.Generator().manual_seed(noise.key(replica, int(self.count), self.name)[0] % 2**32)
