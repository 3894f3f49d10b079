"""Optimizers from a recipe as optax transformations, and their per-element state found by tree structure and shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from sparsebench.config import Recipe
from sparsebench.errors import UserError

Parameters = dict[str, jax.Array]
"""Canonical name -> array in Flax's axis order."""


@dataclass(frozen=True)
class Optimizer:
    """A transformation of gradients into directions; the step is −rate · direction.

    Unless it is known to be `elementwise`, it is also given masked gradients.
    """

    transformation: optax.GradientTransformation
    elementwise: bool = False


Build = Callable[[Recipe], Optimizer]


def build(recipe: Recipe) -> Optimizer:
    """The recipe's optimizer; weight decay is on kernels only, coupled (L2) except in adamw."""
    return Optimizer(optax.chain(*_STEPS[recipe.optimizer](recipe)), elementwise=True)


def _decay(recipe: Recipe) -> optax.GradientTransformation:
    return optax.add_decayed_weights(recipe.weight_decay, mask=_kernels)


def _kernels(parameters: Parameters) -> dict[str, bool]:
    return {name: value.ndim > 1 for name, value in parameters.items()}


def _sgd(recipe: Recipe) -> list[optax.GradientTransformation]:
    momentum = [optax.trace(recipe.momentum, recipe.nesterov)] if recipe.momentum else []
    return [_decay(recipe), *momentum]


_STEPS: dict[str, Callable[[Recipe], list[optax.GradientTransformation]]] = {
    "sgd": _sgd,
    "adam": lambda recipe: [_decay(recipe), optax.scale_by_adam()],
    "adamw": lambda recipe: [optax.scale_by_adam(), _decay(recipe)],
}


def clear(state: Any, where: Parameters) -> Any:
    """Zero the per-element state of each parameter named in `where` at its true entries (bool, parameter's shape)."""
    return jax.tree.map_with_path(lambda path, leaf: _cleared(path, leaf, where), state)


def _cleared(path: tuple[Any, ...], leaf: jax.Array, where: Parameters) -> jax.Array:
    name = next((key.key for key in reversed(path) if isinstance(key, jax.tree_util.DictKey)), None)
    if name not in where or (leaf.size == 1 and leaf.shape != where[name].shape):
        return leaf
    if leaf.shape != where[name].shape:
        raise UserError(
            f"the optimizer keeps state of shape {leaf.shape} for {name!r} of shape {where[name].shape}: "
            "factored state cannot be cleared per connection; use an optimizer with per-element state"
        )
    return jnp.where(where[name], jnp.zeros_like(leaf), leaf)
