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
    """The recipe's optimizer over two groups: kernels, which decay, and the rest, which does not."""
    kernels = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return _BUILD[recipe.optimizer](groups, recipe)


_BUILD: dict[str, Callable[[list[dict[str, object]], Recipe], optim.Optimizer]] = {
    "sgd": lambda groups, recipe: optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov
    ),
    "adam": lambda groups, recipe: optim.Adam(groups, lr=recipe.learning_rate),
    "adamw": lambda groups, recipe: optim.AdamW(groups, lr=recipe.learning_rate),
}


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step, for every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


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
