"""Mask updates in JAX: on CPU between jitted segments over zero-copy NumPy views, elsewhere inside one jitted call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparsebench import noise
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, host_noise, rewire
from sparsebench.method import Event, Method, Signals
from sparsebench.rewiring import rewire_layers
from sparsebench_jax import layout
from sparsebench_jax.optimizers import Parameters

New = tuple[Parameters, dict[str, Change]]
Rewire = Callable[
    [Method, Sequence[Layer], int, Event, Mapping[str, Counts], Parameters, Parameters | None, Parameters], New
]
"""(method, layers, seed, event, budget, parameters, gradients, masks) -> new masks and what changed.

Parameters, gradients and masks are named after their weight and in Flax's axis order.
"""


def on_host(
    method: Method, layers: Sequence[Layer], seed: int, event: Event, budget: Mapping[str, Counts],
    parameters: Parameters, gradients: Parameters | None, masks: Parameters,
) -> New:  # fmt: skip
    """In NumPy, new masks too: one transfer for all is cheaper. Views of device buffers are gone when this returns."""
    parts = [(layer, _signals(layer, seed, event, parameters, gradients, masks)) for layer in layers]
    done = dict(zip((layer.name for layer in layers), rewire_layers(method, parts, budget), strict=True))
    new = {f"{name}.weight": layout.flax(rewired.mask) for name, rewired in done.items()}
    return new, {name: rewired.change for name, rewired in done.items()}


def _signals(
    layer: Layer, seed: int, event: Event, parameters: Parameters, gradients: Parameters | None, masks: Parameters
) -> Signals:
    """NumPy views of one layer."""
    name = f"{layer.name}.weight"
    gradient = None if gradients is None else _float32(gradients[name])
    key = noise.key(seed, event.iteration, layer.name)
    return Signals(_float32(parameters[name]), gradient, _view(masks[name]), host_noise(layer, key))


def on_device(
    method: Method, layers: Sequence[Layer], seed: int, event: Event, budget: Mapping[str, Counts],
    parameters: Parameters, gradients: Parameters | None, masks: Parameters,
) -> New:  # fmt: skip
    """All layers in one compiled call; keys and counts are its arguments, so it compiles once for each method."""
    keys = {layer.name: np.array(noise.key(seed, event.iteration, layer.name), np.int32) for layer in layers}
    counts = {layer.name: np.array([budget[layer.name].kept, budget[layer.name].grown], np.int32) for layer in layers}
    new, facts = _rewire_all(method, tuple(layers), parameters, gradients, masks, keys, counts)
    changes: dict[str, Change] = {}
    for name, (finite, active, grown, dropped) in jax.device_get(facts).items():
        if not finite:
            raise NonFiniteScoreError(name, "drop or grow")
        changes[name] = Change(int(active), int(grown), int(dropped))
    return new, changes


@partial(jax.jit, static_argnums=(0, 1))
def _rewire_all(
    method: Method, layers: tuple[Layer, ...], parameters: Parameters, gradients: Parameters | None,
    masks: Parameters, keys: dict[str, jax.Array], counts: dict[str, jax.Array],
) -> tuple[Parameters, dict[str, tuple[jax.Array, ...]]]:  # fmt: skip
    new: Parameters = {}
    facts: dict[str, tuple[jax.Array, ...]] = {}
    for layer in layers:
        name = f"{layer.name}.weight"
        old = layout.canonical(masks[name])
        gradient = None if gradients is None else layout.canonical(gradients[name]).astype(jnp.float32)
        weight = layout.canonical(parameters[name]).astype(jnp.float32)
        signals = Signals(weight, gradient, old, partial(_noise, layer, keys[layer.name]))
        mask, finite = rewire(jnp, method, layer, signals, *counts[layer.name])
        new[name] = layout.flax(mask)
        facts[layer.name] = (finite, mask.sum(), (mask & ~old).sum(), (old & ~mask).sum())
    return new, facts


def _noise(layer: Layer, key: jax.Array, purpose: str) -> jax.Array:
    return noise.uniform(jnp, noise.stream((key[0], key[1]), purpose), layer.shape)


def _view(array: jax.Array) -> Any:
    """A read-only NumPy view in canonical axis order."""
    return layout.canonical(np.asarray(array))


def _float32(array: jax.Array) -> Any:
    return _view(array if array.dtype == jnp.float32 else array.astype(jnp.float32))
