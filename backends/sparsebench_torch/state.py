"""A torch run in the middle: module, optimizer and masks, and their form as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from sparsebench.masks import Masks
from sparsebench.models import Arrays
from sparsebench.trainer import Task

Snapshot = dict[str, NDArray[Any]]


@dataclass
class TorchState:
    """Mutable, as torch is. `masks` are bool in the weights' shape; `multipliers` the same in the weights' type.

    CPU multiplies floats by floats seven times faster than by bools, hence both.
    """

    task: Task
    module: nn.Module
    optimizer: optim.Optimizer
    masks: dict[str, Tensor]
    multipliers: list[Tensor]
    masked: list[nn.Parameter]

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Weights become exactly zero outside their mask."""
        if self.masked:
            torch._foreach_mul_(self.masked, self.multipliers)

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """For optimizers that couple coordinates."""
        if self.masked:
            torch._foreach_mul_([p.grad for p in self.masked], self.multipliers)


def make(task: Task, module: nn.Module, optimizer: optim.Optimizer, masks: Mapping[str, Tensor]) -> TorchState:
    """A state with these masks applied."""
    parameters = dict(module.named_parameters())
    masked = [parameters[f"{name}.weight"] for name in masks]
    multipliers = [mask.to(weight.dtype) for mask, weight in zip(masks.values(), masked, strict=True)]
    state = TorchState(task, module, optimizer, dict(masks), multipliers, masked)
    state.apply_masks()
    return state


@torch.no_grad()
def load_weights(module: nn.Module, weights: Arrays) -> None:
    """Copy parameters by name into the module."""
    for name, parameter in module.named_parameters():
        parameter.copy_(torch.from_numpy(np.array(weights[name])))


def masks_to(device: torch.device, masks: Masks) -> dict[str, Tensor]:
    """Host masks as bool tensors on a device."""
    return {name: torch.from_numpy(np.array(mask)).to(device) for name, mask in masks.items()}


def snapshot(state: TorchState) -> Snapshot:
    """Module, masks and optimizer as named arrays; Python numbers in the optimizer's state keep their kind."""
    arrays = {f"module/{name}": _array(value) for name, value in state.module.state_dict().items()}
    arrays |= {f"mask/{name}": _array(mask) for name, mask in state.masks.items()}
    for name, parameter in state.module.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                arrays[f"tensor/{name}/{key}"] = _array(value)
            elif value is not None:
                arrays[f"number/{name}/{key}"] = np.asarray(value)
    return arrays


def fill(module: nn.Module, optimizer: optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Put a snapshot back into a fresh module and optimizer; returns the masks."""
    device = next(module.parameters()).device
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in _under("module/", arrays).items()})
    parameters = dict(module.named_parameters())
    for path, value in _under("tensor/", arrays).items():
        name, _, key = path.rpartition("/")
        tensor = torch.from_numpy(value.copy())
        optimizer.state[parameters[name]][key] = tensor if tensor.ndim == 0 else tensor.to(device)
    for path, value in _under("number/", arrays).items():
        name, _, key = path.rpartition("/")
        optimizer.state[parameters[name]][key] = value.item()
    return masks_to(device, _under("mask/", arrays))


def _array(value: Tensor) -> NDArray[Any]:
    return value.detach().cpu().numpy().copy()


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
