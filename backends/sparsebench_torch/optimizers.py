"""Optimizers from a recipe, and their per-element state found by shape, never by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn, optim

from sparsebench.config import Recipe

Build = Callable[[nn.Module, Recipe], optim.Optimizer]

ELEMENTWISE = frozenset({optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad})
"""Classes known to update each coordinate on its own; any other, a subclass too, also gets masked gradients."""


def build(module: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The recipe's optimizer, which lets kernels decay and nothing else; on a GPU it can be recorded."""
    if any(parameter.device.type == "cuda" for parameter in module.parameters()):
        return recordable(module, recipe)
    return _BUILD[recipe.optimizer](_groups(module, recipe), recipe, recipe.learning_rate, None)


def recordable(module: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The same with all that changes, learning rate and counters, in the device's memory; its kernels are fused."""
    rate = torch.tensor(recipe.learning_rate, device=next(module.parameters()).device)
    optimizer = _BUILD[recipe.optimizer](_groups(module, recipe), recipe, rate, True)
    vars(optimizer)["_warned_capturable_if_run_uncaptured"] = True  # its first steps are not recorded, and need not be
    return optimizer


def _groups(module: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """One where nothing decays: torch takes ten microseconds for a group."""
    if not recipe.weight_decay:
        return [{"params": list(module.parameters()), "weight_decay": 0.0}]
    kernels = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]


Groups = list[dict[str, object]]
Rate = float | Tensor
_BUILD: dict[str, Callable[[Groups, Recipe, Rate, bool | None], optim.Optimizer]] = {
    "sgd": lambda groups, recipe, rate, fused: optim.SGD(
        groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
    ),
    "adam": lambda groups, recipe, rate, fused: optim.Adam(groups, lr=rate, fused=fused, capturable=bool(fused)),
    "adamw": lambda groups, recipe, rate, fused: optim.AdamW(groups, lr=rate, fused=fused, capturable=bool(fused)),
}
"""By name; fused None: as torch does by itself."""


def not_recordable(optimizer: optim.Optimizer) -> str | None:
    """Why a step of this optimizer cannot be recorded: what changes from step to step must be on the device."""
    kind = type(optimizer).__name__
    if type(optimizer) not in ELEMENTWISE:
        return f"optimizer {kind} is not known to keep all that changes on the device"
    if not all(isinstance(group["lr"], Tensor) and group.get("fused") for group in optimizer.param_groups):
        return f"optimizer {kind} is not fused with its learning rate on the device"
    return None


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step, for every group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def copy_rate(optimizer: optim.Optimizer, rate: Tensor) -> None:
    """The same from a number on the device, for an optimizer that can be recorded."""
    for group in optimizer.param_groups:
        group["lr"].copy_(rate)


def take_empty_step(optimizer: optim.Optimizer) -> None:
    """One step with gradients of zero, for an optimizer that makes its state at the first."""
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def refusal(optimizer: optim.Optimizer, masked: Mapping[str, Tensor]) -> str | None:
    """Why connections of these parameters cannot be grown: their state is not all per element or shared."""
    for name, parameter in masked.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if not _understood(value, parameter):
                kind = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
                return (
                    f"optimizer {type(optimizer).__name__} keeps {key!r} of {kind} for {name!r} of shape "
                    f"{tuple(parameter.shape)}: factored state cannot be cleared per connection; "
                    "use an optimizer with per-element state"
                )
    return None


def _understood(value: object, parameter: Tensor) -> bool:
    if isinstance(value, Tensor):
        return value.shape == parameter.shape or value.numel() == 1
    return value is None or isinstance(value, int | float)


def elementwise_state(optimizer: optim.Optimizer, parameter: Tensor) -> Iterator[Tensor]:
    """State tensors of the parameter's own shape; single numbers are shared counters and left out."""
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            yield value


@torch.no_grad()
def clear(optimizer: optim.Optimizer, parameter: Tensor, where: Tensor) -> None:
    """Zero the per-element state where `where` (bool, the parameter's shape) is true."""
    for value in elementwise_state(optimizer, parameter):
        value.masked_fill_(where, 0)
