"""A torch module's state as named arrays, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sparsebench.models import Arrays
from sparsebench.states import COUNTER, check


def state_of(module: nn.Module) -> Arrays:
    """A copy of parameters and running statistics."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in _entries(module).items()}


@torch.no_grad()
def load(module: nn.Module, arrays: Arrays) -> None:
    """Fill the module, in its own types.

    Raises:
        UserError: the arrays are another model's.
    """
    entries = _entries(module)
    check(arrays, {name: tuple(tensor.shape) for name, tensor in entries.items()})
    for name, tensor in entries.items():
        tensor.copy_(torch.from_numpy(np.array(arrays[name])))


def _entries(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in module.state_dict().items() if not name.endswith(COUNTER)}
