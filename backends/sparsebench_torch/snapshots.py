"""A torch run as plain arrays, by the names that every backend knows, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from sparsebench.errors import UserError
from sparsebench.snapshots import ASIDE, AUX, BFLOAT16, MASK, PARAMETER, STATISTIC, STEPS, under
from sparsebench_torch.state import TorchState

KINDS = {"momentum_buffer": "momentum/", "exp_avg": "mean/", "exp_avg_sq": "square/", "step": STEPS}
"""What torch's optimizers call what they keep of a parameter, and what it is."""
OWN = "tensor/"


def snapshot(state: TorchState) -> dict[str, NDArray[Any]]:
    """Module, masks and optimizer as named arrays; Python numbers in the optimizer's state keep their kind.

    Raises:
        UserError: the optimizer keeps something that is neither a tensor nor a number.
    """
    parameters = dict(state.module.named_parameters())
    entries: dict[str, object] = {
        _kind(name, value, parameters) + name: value for name, value in state.module.state_dict().items()
    }
    entries |= {MASK + name: mask for name, mask in state.masks.items()}
    entries |= {AUX + name: seen for name, seen in state.aux.items()}
    for name, parameter in parameters.items():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            entries[_named(name, key, value, parameter)] = value
    for i, group in enumerate(state.optimizer.param_groups):
        entries |= {f"{ASIDE}group/{i}/{k}": value for k, value in group.items() if isinstance(value, int | float)}
    return dict(_encoded(name, value) for name, value in entries.items() if value is not None)


def _kind(name: str, tensor: Tensor, parameters: Mapping[str, Tensor]) -> str:
    if name in parameters:
        return PARAMETER
    return STATISTIC if tensor.is_floating_point() else f"{ASIDE}buffer/"


def _named(name: str, key: str, value: object, parameter: Tensor) -> str:
    """By the common name where it is what that says."""
    if not isinstance(value, Tensor):
        return f"number/{name}/{key}"
    counts = value.ndim == 0 and value.dtype == torch.float32
    common = counts if key == "step" else key in KINDS and value.shape == parameter.shape
    return KINDS[key] + name if common else f"{OWN}{name}/{key}"


def fill(module: nn.Module, optimizer: optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Put a snapshot back into a fresh module and optimizer; returns the masks."""
    found = dict(_decoded(*entry) for entry in arrays.items())
    device, parameters = next(module.parameters()).device, dict(module.named_parameters())
    _fill_module(module, parameters, found)
    for name, key, tensor in _kept(found):
        shared = tensor.ndim == 0 and not optimizer.defaults.get("fused")  # torch keeps its counters on the host
        optimizer.state[parameters[name]][key] = tensor if shared else tensor.to(device)
    for path, value in under("number/", found).items():
        name, _, key = path.rpartition("/")
        optimizer.state[parameters[name]][key] = value.item()
    for path, value in under(f"{ASIDE}group/", found).items():
        group, _, key = path.partition("/")
        if not isinstance(optimizer.param_groups[int(group)].get(key), Tensor):  # what is on the device is set there
            optimizer.param_groups[int(group)][key] = value.item()
    return {name: mask.contiguous().to(device) for name, mask in under(MASK, found).items()}


@torch.no_grad()
def _fill_module(module: nn.Module, parameters: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """All but counters, which other backends do not have, must be there."""
    for name, tensor in module.state_dict().items():
        kind = _kind(name, tensor, parameters)
        if kind in (PARAMETER, STATISTIC) or kind + name in found:
            tensor.copy_(found[kind + name])


def _kept(found: Mapping[str, Tensor]) -> list[tuple[str, str, Tensor]]:
    """(parameter, torch's key, what the optimizer keeps of it)."""
    kept = [(name, key, tensor) for key, kind in KINDS.items() for name, tensor in under(kind, found).items()]
    kept = [(name, key, tensor.float() if key == "step" else tensor) for name, key, tensor in kept]
    own = [(path.rpartition("/"), tensor) for path, tensor in under(OWN, found).items()]
    return kept + [(name, key, tensor) for (name, _, key), tensor in own]


def observed(arrays: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """What a snapshot says that the method observed."""
    return {name: torch.from_numpy(array.copy()).to(device) for name, array in under(AUX, arrays).items()}


def _encoded(name: str, value: object) -> tuple[str, NDArray[Any]]:
    if isinstance(value, int | float):
        return name, np.asarray(value)
    if not isinstance(value, Tensor):
        raise UserError(f"the optimizer keeps a {type(value).__name__} at {name}: only tensors and numbers are saved")
    if value.dtype == torch.bfloat16:
        name, value = name + BFLOAT16, value.view(torch.int16)
    return name, value.detach().cpu().numpy().copy()


def _decoded(name: str, array: NDArray[Any]) -> tuple[str, Tensor]:
    tensor = torch.from_numpy(array.copy())
    if name.endswith(BFLOAT16):
        return name.removesuffix(BFLOAT16), tensor.view(torch.bfloat16)
    return name, tensor
