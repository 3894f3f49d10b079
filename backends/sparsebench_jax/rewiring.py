"""Mask updates in JAX: on CPU between jitted segments over zero-copy NumPy views, elsewhere inside one jitted call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparsebench import noise
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, grow, keep, moved, ranked, settled
from sparsebench.method import Event, Method, Signals, each_layer
from sparsebench.rewiring import host_signals, rewire_layers
from sparsebench_jax import layout
from sparsebench_jax.optimizers import Parameters


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Seen:
    """What an update looks at, named after the weight and in Flax's axis order; no gradients: the method needs none."""

    parameters: Parameters
    gradients: Parameters | None
    masks: Parameters
    aux: Parameters


New = tuple[Parameters, Parameters, dict[str, Change]]
Rewire = Callable[[Method, Sequence[Layer], int, Event, Mapping[str, Counts], Seen], New]
"""(method, layers, seed, event, budget, what it looks at) -> new masks, values of grown connections, what changed.

Masks and values (none: grown connections start at 0) are named after their weight and in Flax's axis order.
"""


def on_host(
    method: Method, layers: Sequence[Layer], seed: int, event: Event, budget: Mapping[str, Counts], seen: Seen
) -> New:
    """In NumPy, new masks too: one transfer for all is cheaper. Views of device buffers are gone when this returns."""
    parts = [(layer, _signals(layer, seed, event, seen)) for layer in layers]
    done = dict(zip((layer.name for layer in layers), rewire_layers(method, parts, budget), strict=True))
    new = {f"{name}.weight": layout.flax(rewired.mask) for name, rewired in done.items()}
    values = {f"{name}.weight": layout.flax(rewired.spread) for name, rewired in done.items() if method.value}
    return new, values, {name: rewired.change for name, rewired in done.items()}


def _signals(layer: Layer, seed: int, event: Event, seen: Seen) -> Signals:
    """NumPy views of one layer."""
    name = f"{layer.name}.weight"
    gradient = None if seen.gradients is None else _float32(seen.gradients[name])
    aux = _view(seen.aux[name]) if seen.aux else None
    weight, mask = _float32(seen.parameters[name]), _view(seen.masks[name])
    return host_signals(layer, seed, event, weight, mask, gradient, aux)


def on_device(
    method: Method, layers: Sequence[Layer], seed: int, event: Event, budget: Mapping[str, Counts], seen: Seen
) -> New:
    """All layers in two compiled calls (three if they are ranked together), with the host between them: it alone
    compares layers, in float64.

    Keys and counts are arguments, so each compiles once for a method.
    """
    keys = {layer.name: np.array(noise.key(seed, event.iteration, layer.name), np.int32) for layer in layers}
    if method.rank is not each_layer:
        held = _checked(_rank(method, tuple(layers), seen, keys, _arrays(budget)), "drop")
        budget = settled(budget, {name: int(count) for name, (count,) in held.items()})
    kept, facts = _keep(method, tuple(layers), seen, keys, _arrays(budget))
    summaries = {name: float(summary) for name, (summary,) in _checked(facts, "drop").items()}
    budget = moved(method, layers, budget, summaries)
    new, values, facts = _grow(method, tuple(layers), seen, keys, kept, _arrays(budget))
    changes = _checked(facts, "grow")
    return new, values, {name: Change(*map(int, change)) for name, change in changes.items()}


def _arrays(budget: Mapping[str, Counts]) -> dict[str, Any]:
    """Counts as arguments of a compiled call."""
    return {name: Counts(_int32(counts.kept), _int32(counts.grown)) for name, counts in budget.items()}


def _int32(count: int) -> Any:
    return np.int32(count)


def _checked(facts: dict[str, Any], role: str) -> dict[str, tuple[Any, ...]]:
    """Facts of each layer without the first, which says whether its scores are finite."""
    found = jax.device_get(facts)
    for name, (finite, *_) in found.items():
        if not finite:
            raise NonFiniteScoreError(name, role)
    return {name: tuple(others) for name, (_, *others) in found.items()}


@partial(jax.jit, static_argnums=(0, 1))
def _rank(
    method: Method, layers: tuple[Layer, ...], seen: Seen, keys: dict[str, jax.Array], budget: dict[str, Any]
) -> dict[str, tuple[jax.Array, ...]]:
    signals = [_traced(layer, keys, seen) for layer in layers]
    held, sound = ranked(jnp, method, layers, signals, [budget[layer.name] for layer in layers])
    return {layer.name: (finite, count) for layer, finite, count in zip(layers, sound, held, strict=True)}


@partial(jax.jit, static_argnums=(0, 1))
def _keep(
    method: Method, layers: tuple[Layer, ...], seen: Seen, keys: dict[str, jax.Array], budget: dict[str, Any]
) -> tuple[dict[str, jax.Array], dict[str, tuple[jax.Array, ...]]]:
    kept: dict[str, jax.Array] = {}
    facts: dict[str, tuple[jax.Array, ...]] = {}
    for layer in layers:
        signals = _traced(layer, keys, seen)
        kept[layer.name], finite = keep(jnp, method, layer, signals, budget[layer.name])
        facts[layer.name] = (finite, _summary(method, layer, signals, kept[layer.name]))
    return kept, facts


def _summary(method: Method, layer: Layer, signals: Signals, stays: jax.Array) -> jax.Array:
    return method.redistribute(jnp, layer, replace(signals, mask=stays)) if method.redistribute else jnp.zeros(())


@partial(jax.jit, static_argnums=(0, 1))
def _grow(
    method: Method, layers: tuple[Layer, ...], seen: Seen, keys: dict[str, jax.Array],
    kept: dict[str, jax.Array], budget: dict[str, Any],
) -> tuple[Parameters, Parameters, dict[str, tuple[jax.Array, ...]]]:  # fmt: skip
    new: Parameters = {}
    values: Parameters = {}
    facts: dict[str, tuple[jax.Array, ...]] = {}
    for layer in layers:
        name, signals = f"{layer.name}.weight", _traced(layer, keys, seen)
        mask, finite = grow(jnp, method, layer, signals, kept[layer.name], budget[layer.name])
        new[name], old = layout.flax(mask), signals.mask
        if method.value:
            values[name] = layout.flax(method.value(jnp, layer, signals))
        facts[layer.name] = (finite, mask.sum(), (mask & ~old).sum(), (old & ~mask).sum())
    return new, values, facts


def _traced(layer: Layer, keys: dict[str, jax.Array], seen: Seen) -> Signals:
    name = f"{layer.name}.weight"
    gradient = None if seen.gradients is None else layout.canonical(seen.gradients[name]).astype(jnp.float32)
    weight = layout.canonical(seen.parameters[name]).astype(jnp.float32)
    aux = layout.canonical(seen.aux[name]) if seen.aux else None
    return Signals(
        weight, gradient, layout.canonical(seen.masks[name]), partial(_noise, layer, keys[layer.name]), aux=aux
    )


def _noise(layer: Layer, key: jax.Array, purpose: str) -> jax.Array:
    return noise.uniform(jnp, noise.stream((key[0], key[1]), purpose), layer.shape)


def _view(array: jax.Array) -> Any:
    """A read-only NumPy view in canonical axis order."""
    return layout.canonical(np.asarray(array))


def _float32(array: jax.Array) -> Any:
    return _view(array if array.dtype == jnp.float32 else array.astype(jnp.float32))
