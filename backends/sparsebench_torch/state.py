"""A torch run in the middle: module, optimizer and masks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel

from sparsebench.masks import Masks
from sparsebench.method import Observe
from sparsebench.models import Arrays
from sparsebench.trainer import Task

if TYPE_CHECKING:
    from sparsebench_torch.recording import Loop

FEW = 2**20
"""Weights that one core multiplies sooner than two do: with their masks, what fits its cache."""


@dataclass(eq=False)
class TorchState:
    """Mutable, as torch is. `masks` are bool in the weights' shape; `multipliers` are what weights are multiplied by.

    On an accelerator those are the masks themselves. A CPU multiplies floats by floats seven times faster than by
    bools: there they are the same in the weights' type, beside the masks.
    """

    task: Task
    module: nn.Module
    optimizer: optim.Optimizer
    masks: dict[str, Tensor]
    multipliers: list[Tensor]
    masked: list[nn.Parameter]
    aux: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """What the method observed of each masked layer, float32; empty until something is observed."""
    loop: Loop | None = None
    """The recording of its steps, where they are recorded."""
    ran: str = "eager"
    """How its steps are run, in words."""
    parallel: DistributedDataParallel | None = None
    """The module as it is trained, where replicas share every batch: its gradients are the mean over them."""
    stored: list[Tensor] = field(init=False)
    """The same memory without gradients: what every step multiplies, and nothing to switch off first."""

    def __post_init__(self) -> None:
        self.stored = [weight.detach() for weight in self.masked]
        self._few = _few(self.stored, self.multipliers)

    @property
    def network(self) -> nn.Module:
        """What images are given to."""
        return self.parallel if self.parallel is not None and self.module.training else self.module

    def reducing(self, last: bool) -> AbstractContextManager[None]:
        """Forward and backward of a part of a batch: gradients of all parts are summed here, then over replicas."""
        return nullcontext() if self.parallel is None or last else self.parallel.no_sync()

    def apply_masks(self) -> None:
        """Weights become exactly zero outside their mask."""
        if not self._few:
            return _multiply(self.stored, self.multipliers)
        for weight, multiplier in self._few:
            np.multiply(weight, multiplier, out=weight)

    @torch.no_grad()
    def observe(self, observe: Observe) -> None:
        """Let the method see this batch's dense gradients."""
        layers = (layer for layer in self.task.layers if layer.name in self.masks)
        for layer, weight in zip(layers, self.masked, strict=True):
            if layer.name not in self.aux:
                self.aux[layer.name] = torch.zeros_like(weight, dtype=torch.float32)
            gradient, seen = torch.zeros_like(weight) if weight.grad is None else weight.grad, self.aux[layer.name]
            seen.copy_(observe(xp, layer, seen, weight.detach().float(), gradient.float()))

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """For optimizers that couple coordinates; a layer that the loss does not reach has no gradient."""
        reached = [(p.grad, m) for p, m in zip(self.masked, self.multipliers, strict=True) if p.grad is not None]
        _multiply([gradient for gradient, _ in reached], [multiplier for _, multiplier in reached])

    def share_masks(self) -> None:
        """After masks were replaced: where multipliers are bool, they are the masks, at the address they always had."""
        for name, multiplier in zip(self.masks, self.multipliers, strict=True):
            if multiplier.dtype == torch.bool:
                self.masks[name] = multiplier


def multiplier_type(device: str, kind: torch.dtype) -> torch.dtype:
    """What masks of weights of this kind are multiplied as: on a CPU as numbers, elsewhere as they are."""
    return kind if device == "cpu" else torch.bool


def _few(tensors: list[Tensor], factors: list[Tensor]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """The same memory in NumPy where that is faster: to wake torch's threads takes longer than to multiply these.

    Of LeNet-300-100's step on two cores that is a fiftieth. None: there are more, or NumPy has no such type.
    """
    both = [*tensors, *factors]
    suited = all(t.device.type == "cpu" and t.dtype == torch.float32 and t.is_contiguous() for t in both)
    if not suited or sum(tensor.numel() for tensor in tensors) > FEW:
        return []
    return [(tensor.numpy(), factor.numpy()) for tensor, factor in zip(tensors, factors, strict=True)]


def _multiply(tensors: list[Tensor], factors: list[Tensor]) -> None:
    """All products in one call, under the name that torch's own optimizers use: there is no public one."""
    if tensors:
        torch._foreach_mul_(tensors, factors)  # pyright: ignore[reportPrivateImportUsage]


def make(task: Task, module: nn.Module, optimizer: optim.Optimizer, masks: Mapping[str, Tensor]) -> TorchState:
    """A state with these masks applied, in the order of the layers whatever the order they come in."""
    parameters = dict(module.named_parameters())
    masks = {layer.name: masks[layer.name] for layer in task.layers if layer.name in masks}
    masked = [parameters[f"{name}.weight"] for name in masks]
    multipliers = [
        mask.to(multiplier_type(weight.device.type, weight.dtype))
        for mask, weight in zip(masks.values(), masked, strict=True)
    ]
    state = TorchState(task, module, optimizer, masks, multipliers, masked)
    state.apply_masks()
    return state


def numbers(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics by name, without gradients: what is floating point in the module's state."""
    return {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}


@torch.no_grad()
def load_weights(module: nn.Module, weights: Arrays) -> None:
    """Copy parameters by name into the module, and running statistics where they are given."""
    parameters = dict(module.named_parameters())
    for name, tensor in numbers(module).items():
        if name in weights or name in parameters:
            tensor.copy_(torch.from_numpy(np.array(weights[name])))


def masks_to(device: torch.device, masks: Masks) -> dict[str, Tensor]:
    """Host masks as bool tensors on a device, in canonical memory order."""
    return {name: torch.from_numpy(np.array(mask, order="C")).to(device) for name, mask in masks.items()}
