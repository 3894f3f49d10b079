"""Mask updates in torch: on the host over zero-copy NumPy views, on an accelerator with the same functions there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import array_api_compat.torch as xp
import torch
from torch import Tensor, nn

from sparsebench import noise
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, host_noise, rewire
from sparsebench.method import Event, Method, Signals
from sparsebench.places import Places
from sparsebench.rewiring import Rewired, rewire_layers, side_by_side
from sparsebench_torch import optimizers
from sparsebench_torch.state import TorchState

Keys = Mapping[str, noise.Key]


@torch.no_grad()
def update_masks(
    state: TorchState, method: Method, seed: int, event: Event, budget: Mapping[str, Counts]
) -> dict[str, Change]:
    """New masks for every layer, then weights and optimizer state to match; nothing changes if a score is bad."""
    layers = [layer for layer in state.task.layers if layer.name in state.masks]
    keys = {layer.name: noise.key(seed, event.iteration, layer.name) for layer in layers}
    on_cpu = all(weight.device.type == "cpu" for weight in state.masked)
    return (on_host if on_cpu else on_device)(state, method, layers, keys, budget)


def on_host(
    state: TorchState, method: Method, layers: Sequence[Layer], keys: Keys, budget: Mapping[str, Counts]
) -> dict[str, Change]:
    """In NumPy, over views of the tensors' memory; only the places that change are written."""
    parts = [
        (layer, _views(_signals(state, layer, keys[layer.name], weight), layer, keys[layer.name]))
        for layer, weight in zip(layers, state.masked, strict=True)
    ]
    done = rewire_layers(method, parts, budget)
    state.masks |= {layer.name: torch.from_numpy(rewired.mask) for layer, rewired in zip(layers, done, strict=True)}
    side_by_side(lambda part: _install(state, *part), enumerate(done))
    return {layer.name: rewired.change for layer, rewired in zip(layers, done, strict=True)}


def _views(signals: Signals, layer: Layer, key: noise.Key) -> Signals:
    """The same in NumPy."""
    gradient = None if signals.gradient is None else signals.gradient.numpy()
    return Signals(signals.weight.numpy(), gradient, signals.mask.numpy(), host_noise(layer, key))


def _install(state: TorchState, index: int, rewired: Rewired) -> None:
    """One layer's weights, multipliers and optimizer state to match its new mask."""
    weight, multiplier = state.masked[index], state.multipliers[index]
    _write(weight, rewired.dropped, 0)
    _write(multiplier, rewired.dropped, 0)
    _write(multiplier, rewired.grown, 1)
    for moment in optimizers.elementwise_state(state.optimizer, weight):
        _write(moment, rewired.grown, 0)


def _write(tensor: Tensor, places: Places, value: float) -> None:
    """Set entries by canonical flat index, whatever the tensor's type and memory format.

    In NumPy where it can be: torch's threads wait for each other far longer than such a write takes.
    """
    if tensor.dtype == torch.float32 and tensor.is_contiguous():
        tensor.detach().numpy().reshape(-1)[places] = value
    else:
        tensor.detach()[torch.unravel_index(torch.from_numpy(places), tensor.shape)] = value


def on_device(
    state: TorchState, method: Method, layers: Sequence[Layer], keys: Keys, budget: Mapping[str, Counts]
) -> dict[str, Change]:
    """In torch, wherever the tensors are."""
    new: list[Tensor] = []
    for layer, weight in zip(layers, state.masked, strict=True):
        signals, counts = _signals(state, layer, keys[layer.name], weight), budget[layer.name]
        mask, finite = rewire(xp, method, layer, signals, counts.kept, counts.grown)
        if not finite:
            raise NonFiniteScoreError(layer.name, "drop or grow")
        new.append(mask)
    return {layer.name: _adopt(state, i, layer.name, new[i]) for i, layer in enumerate(layers)}


def _signals(state: TorchState, layer: Layer, key: noise.Key, weight: nn.Parameter) -> Signals:
    return Signals(
        weight.detach().float(), None if weight.grad is None else weight.grad.float(), state.masks[layer.name],
        lambda purpose: noise.uniform(xp, noise.stream(key, purpose), layer.shape, weight.device),
    )  # fmt: skip


def _adopt(state: TorchState, index: int, name: str, new: Tensor) -> Change:
    """Install one layer's mask: dropped weights to zero, the state of truly new ones cleared."""
    old, weight = state.masks[name], state.masked[index]
    grown, active = new & ~old, int(new.sum())
    optimizers.clear(state.optimizer, weight, grown)
    state.masks[name] = new
    state.multipliers[index].copy_(new)
    weight.mul_(state.multipliers[index])
    return Change(active, int(grown.sum()), int((old & ~new).sum()))
