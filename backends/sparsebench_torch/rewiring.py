"""Mask updates in torch: on the host over zero-copy NumPy views, on an accelerator with the same functions there."""

from __future__ import annotations

from collections.abc import Mapping

import array_api_compat.torch as xp
import numpy as np
import torch
from torch import Tensor, nn

from sparsebench import noise
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, change, host_noise, rewire, rewire_on_host
from sparsebench.method import Event, Method, Signals
from sparsebench_torch import optimizers
from sparsebench_torch.state import TorchState


@torch.no_grad()
def update_masks(
    state: TorchState, method: Method, seed: int, event: Event, budget: Mapping[str, Counts]
) -> dict[str, Change]:
    """New masks for every layer, then weights and optimizer state to match; nothing changes if a score is bad."""
    layers = [layer for layer in state.task.layers if layer.name in state.masks]
    new = [
        _new_mask(state, method, layer, noise.key(seed, event.iteration, layer.name), budget[layer.name], weight)
        for layer, weight in zip(layers, state.masked, strict=True)
    ]
    return {layer.name: _adopt(state, i, layer.name, new[i]) for i, layer in enumerate(layers)}


def _new_mask(
    state: TorchState, method: Method, layer: Layer, key: noise.Key, counts: Counts, weight: nn.Parameter
) -> Tensor:
    signals = Signals(
        weight.detach().float(), None if weight.grad is None else weight.grad.float(), state.masks[layer.name],
        lambda purpose: noise.uniform(xp, noise.stream(key, purpose), layer.shape, weight.device),
    )  # fmt: skip
    if weight.device.type == "cpu":
        return torch.from_numpy(_on_host(method, layer, key, counts, signals))
    mask, finite = rewire(xp, method, layer, signals, counts.kept, counts.grown)
    if not finite:
        raise NonFiniteScoreError(layer.name, "drop or grow")
    return mask


def _on_host(method: Method, layer: Layer, key: noise.Key, counts: Counts, tensors: Signals) -> np.ndarray:
    gradient = None if tensors.gradient is None else tensors.gradient.numpy()
    views = Signals(tensors.weight.numpy(), gradient, tensors.mask.numpy(), host_noise(layer, key))
    return rewire_on_host(method, layer, views, counts)


def _adopt(state: TorchState, index: int, name: str, new: Tensor) -> Change:
    """Install one layer's mask: dropped weights to zero, the state of truly new ones cleared."""
    old, weight = state.masks[name], state.masked[index]
    grown = new & ~old
    optimizers.clear(state.optimizer, weight, grown)
    state.masks[name] = new
    state.multipliers[index].copy_(new)
    weight.mul_(state.multipliers[index])
    return change(old.cpu().numpy(), new.cpu().numpy())
