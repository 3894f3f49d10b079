"""Optimizers from a recipe as optax transformations, and their per-element state found by tree structure and shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def refusal(transformation: optax.GradientTransformation, parameters: Any, masked: Iterable[str]) -> str | None:
    """Why connections of the parameters named in `masked` cannot be grown; `parameters` may be shapes only."""

    def grow(parameters: Parameters) -> Any:
        everywhere = {name: parameters[name] == 0 for name in masked}
        return clear(transformation.init(parameters), parameters, everywhere)

    try:
        jax.eval_shape(grow, parameters)
    except UserError as error:
        return str(error)
    return None


def clear(state: Any, parameters: Parameters, where: Parameters) -> Any:
    """Zero the per-element state of each parameter named in `where` at its true entries; shared counters stay.

    Raises:
        UserError: some state is neither a parameter's, element by element, nor a shared counter.
    """
    return jax.tree.map_with_path(lambda path, leaf: _cleared(path, leaf, parameters, where), state)


def _cleared(path: tuple[Any, ...], leaf: jax.Array, parameters: Parameters, where: Parameters) -> jax.Array:
    keys = (key.key for key in reversed(path) if isinstance(key, jax.tree_util.DictKey))
    name = next((key for key in keys if key in parameters), None)
    if name in where and leaf.shape == where[name].shape:
        return jnp.where(where[name], jnp.zeros_like(leaf), leaf)
    if leaf.size > 1 and (name in where or (name is None and jnp.issubdtype(leaf.dtype, jnp.floating))):
        whose = f"{name!r} of shape {where[name].shape}" if name in where else f"several of {', '.join(where)}"
        raise UserError(
            f"the optimizer keeps state of shape {leaf.shape} for {whose}: "
            "factored state cannot be cleared per connection; use an optimizer with per-element state"
        )
    return leaf
