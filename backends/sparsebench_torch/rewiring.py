"""Mask updates in torch: on the host over zero-copy NumPy views, on an accelerator with the same functions there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsebench import noise
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, grow, host_noise, keep, moved, ranked, settled
from sparsebench.method import Event, Method, Signals, each_layer
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
    side_by_side(lambda part: _install(state, *part), list(enumerate(done)), [layer.size for layer in layers])
    return {layer.name: rewired.change for layer, rewired in zip(layers, done, strict=True)}


def _views(signals: Signals, layer: Layer, key: noise.Key) -> Signals:
    """The same in NumPy."""
    gradient, aux = (None if each is None else each.numpy() for each in (signals.gradient, signals.aux))
    return Signals(signals.weight.numpy(), gradient, signals.mask.numpy(), host_noise(layer, key), aux=aux)


def _install(state: TorchState, index: int, rewired: Rewired) -> None:
    """One layer's weights, multipliers and optimizer state to match its new mask."""
    weight, multiplier = state.masked[index], state.multipliers[index]
    _write(weight, rewired.dropped, 0)
    if rewired.values is not None:
        _write(weight, rewired.grown, rewired.values)
    _write(multiplier, rewired.dropped, 0)
    _write(multiplier, rewired.grown, 1)
    for moment in optimizers.elementwise_state(state.optimizer, weight):
        _write(moment, rewired.grown, 0)


def _write(tensor: Tensor, places: Places, value: float | NDArray[np.float32]) -> None:
    """Set entries by canonical flat index, whatever the tensor's type and memory format.

    In NumPy where it can be: torch's threads wait for each other far longer than such a write takes.
    """
    if tensor.dtype == torch.float32 and tensor.is_contiguous():
        tensor.detach().numpy().reshape(-1)[places] = value
    else:
        given = torch.as_tensor(value, dtype=tensor.dtype)
        tensor.detach()[torch.unravel_index(torch.from_numpy(places), tensor.shape)] = given


def on_device(
    state: TorchState, method: Method, layers: Sequence[Layer], keys: Keys, budget: Mapping[str, Counts]
) -> dict[str, Change]:
    """In torch, wherever the tensors are."""
    signals = [_signals(state, layer, keys[layer.name], w) for layer, w in zip(layers, state.masked, strict=True)]
    budget = _settled(method, layers, signals, budget)
    parts = list(zip(layers, signals, strict=True))
    kept = [keep(xp, method, layer, own, budget[layer.name]) for layer, own in parts]
    _check(layers, "drop", [finite for _, finite in kept])
    budget = moved(method, layers, budget, _summaries(method, layers, signals, [stays for stays, _ in kept]))
    grown = [
        grow(xp, method, layer, own, stays, budget[layer.name])
        for (layer, own), (stays, _) in zip(parts, kept, strict=True)
    ]
    _check(layers, "grow", [finite for _, finite in grown])
    values = [None if method.value is None else method.value(xp, layer, own) for layer, own in parts]
    return {layer.name: _adopt(state, i, layer.name, grown[i][0], values[i]) for i, layer in enumerate(layers)}


def _settled(
    method: Method, layers: Sequence[Layer], signals: Sequence[Signals], budget: Mapping[str, Counts]
) -> Mapping[str, Counts]:
    """The budget, with what each layer keeps where layers are ranked together."""
    if method.rank is each_layer:
        return budget
    held, sound = ranked(xp, method, layers, signals, [budget[layer.name] for layer in layers])
    _check(layers, "drop", sound)
    return settled(budget, {layer.name: int(count) for layer, count in zip(layers, held, strict=True)})


def _check(layers: Sequence[Layer], role: str, sound: Sequence[Any]) -> None:
    """Raise for the first layer whose scores are not finite."""
    for layer, finite in zip(layers, sound, strict=True):
        if not finite:
            raise NonFiniteScoreError(layer.name, role)


def _summaries(
    method: Method, layers: Sequence[Layer], signals: Sequence[Signals], kept: Sequence[Tensor]
) -> dict[str, float]:
    """What growth is shared out by, on the host."""
    if not method.redistribute:
        return {}
    return {
        layer.name: float(method.redistribute(xp, layer, replace(own, mask=stays)))
        for layer, own, stays in zip(layers, signals, kept, strict=True)
    }


def _signals(state: TorchState, layer: Layer, key: noise.Key, weight: nn.Parameter) -> Signals:
    return Signals(
        weight.detach().float(), None if weight.grad is None else weight.grad.float(), state.masks[layer.name],
        lambda purpose: noise.uniform(xp, noise.stream(key, purpose), layer.shape, weight.device),
        aux=state.aux.get(layer.name),
    )  # fmt: skip


def _adopt(state: TorchState, index: int, name: str, new: Tensor, values: Tensor | None) -> Change:
    """Install one layer's mask: dropped weights to zero, truly new ones to their value and their state cleared."""
    old, weight = state.masks[name], state.masked[index]
    grown, active = new & ~old, int(new.sum())
    optimizers.clear(state.optimizer, weight, grown)
    state.masks[name] = new
    state.multipliers[index].copy_(new)
    weight.mul_(state.multipliers[index])
    if values is not None:
        weight.copy_(torch.where(grown, values.to(weight.dtype), weight))
    return Change(active, int(grown.sum()), int((old & ~new).sum()))
