"""Optimizers from a recipe, and their per-element state found by shape, never by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn, optim

from sparsebench.config import Recipe
from sparsebench.errors import UserError

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


def elementwise_state(optimizer: optim.Optimizer, parameter: Tensor) -> Iterator[Tensor]:
    """State tensors of the parameter's own shape; scalars are shared counters and left out.

    Raises:
        UserError: a state tensor is neither, so an entry's share of it is not known (factored state).
    """
    for name, value in optimizer.state.get(parameter, {}).items():
        if not isinstance(value, Tensor) or (value.numel() == 1 and value.shape != parameter.shape):
            continue
        if value.shape != parameter.shape:
            raise UserError(
                f"optimizer {type(optimizer).__name__} keeps {name!r} of shape {tuple(value.shape)} for a weight of "
                f"shape {tuple(parameter.shape)}: factored state cannot be cleared per connection; "
                "use an optimizer with per-element state"
            )
        yield value


@torch.no_grad()
def clear(optimizer: optim.Optimizer, parameter: Tensor, where: Tensor) -> None:
    """Zero the per-element state where `where` (bool, the parameter's shape) is true."""
    for state in elementwise_state(optimizer, parameter):
        state.masked_fill_(where, 0)
