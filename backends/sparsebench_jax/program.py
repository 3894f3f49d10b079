"""The compiled functions of one task: a fresh state, a segment of steps, a gradient, an evaluation, new masks adopted.

One compilation each: masks, rates and the number of steps are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from sparsebench.layers import Layer
from sparsebench.method import Observe
from sparsebench.models import builder
from sparsebench.trainer import Task
from sparsebench_jax import layout
from sparsebench_jax.optimizers import Optimizer, Parameters, clear

CHUNK = 128
"""Steps for which one call of the compiled loop has room; a shorter segment runs fewer iterations of it."""
EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Program:
    """Compiled functions over (parameters, rest, optimizer state); `rest` is the module without its parameters.

    The fields `parameters` (by canonical name) and `rest` hold shapes and types only.
    """

    parameters: dict[str, jax.ShapeDtypeStruct]
    rest: Any
    optimizer: Optimizer
    fresh: Callable[..., tuple[Parameters, Any, Any]]
    segment: Callable[..., tuple[Parameters, Any, Any, Parameters, jax.Array]]
    gradient: Callable[..., tuple[jax.Array, Any, Parameters]]
    adopt: Callable[..., tuple[Parameters, Any]]
    evaluate: Callable[..., tuple[jax.Array, jax.Array]]
    count: Callable[[], float | None]
    """FLOPs of one sample's forward pass, as XLA counts them; None where it does not."""


def compile(task: Task, optimizer: Optimizer) -> Program:
    """The functions of a task; XLA compiles each at its first call."""
    build = partial(builder(task.model, "jax"), task.input)
    graph, parameters, rest = nnx.split(nnx.eval_shape(build), nnx.Param, ...)
    names = {path: layout.name(path) for path, _ in nnx.to_flat_state(parameters)}
    shapes = {names[path]: jax.ShapeDtypeStruct(p.shape, p.dtype) for path, p in nnx.to_flat_state(parameters)}
    smoothing = task.recipe.label_smoothing
    layers = {f"{layer.name}.weight": layer for layer in task.layers}

    def fresh(weights: Parameters, masks: Parameters) -> tuple[Parameters, Any, Any]:
        """Compiled, so that weights the module draws for itself are dropped and no two leaves share a buffer."""
        parameters = masked({name: weights[name].astype(own.dtype) for name, own in shapes.items()}, masks)
        return parameters, nnx.state(build(), nnx.Not(nnx.Param)), optimizer.transformation.init(parameters)

    def module(parameters: Parameters, rest: Any, training: bool) -> Any:
        state = nnx.from_flat_state({path: parameters[name] for path, name in names.items()})
        built = nnx.merge(graph, state, rest, copy=True)  # variables of this trace: batch statistics are written
        built.train() if training else built.eval()
        return built

    def loss(parameters: Parameters, rest: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        built = module(parameters, rest, training=True)
        entropy = cross_entropy(built(images), labels, smoothing).mean()
        return entropy, nnx.state(built, nnx.Not(nnx.Param))

    def forward(parameters: Parameters, rest: Any, images: jax.Array) -> jax.Array:
        return module(parameters, rest, training=False)(images)

    @cache
    def count() -> float | None:
        image = jax.ShapeDtypeStruct((1, *task.input.shape), jnp.float32)
        found: Any = jax.jit(forward).lower(shapes, rest, image).cost_analysis()
        return found.get("flops") if isinstance(found, Mapping) else None

    return Program(
        shapes, rest, optimizer, jax.jit(fresh),
        jax.jit(
            _segment(jax.value_and_grad(loss, has_aux=True), optimizer, layers),
            static_argnums=0, donate_argnums=(1, 2, 3, 4),
        ),
        jax.jit(_gradient(jax.value_and_grad(loss, has_aux=True))),
        jax.jit(adopt, donate_argnums=(0, 1)),
        jax.jit(_evaluate(forward)), count,
    )  # fmt: skip


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Per-sample cross-entropy in float32; `smoothing` of the mass is spread evenly over all classes."""
    likelihoods = jax.nn.log_softmax(logits.astype(jnp.float32))
    hard = -jnp.take_along_axis(likelihoods, labels[:, None], axis=1)[:, 0]
    return (1 - smoothing) * hard - smoothing * likelihoods.mean(axis=1) if smoothing else hard


def masked(parameters: Parameters, masks: Parameters) -> Parameters:
    """Parameters (or gradients), exactly zero outside their masks."""
    zeroed = {name: jnp.where(mask, parameters[name], 0) for name, mask in masks.items()}
    return parameters | zeroed


def _observed(
    observe: Observe | None, layers: Mapping[str, Layer], aux: Parameters, parameters: Parameters, gradients: Parameters
) -> Parameters:
    """What the method makes of this batch's dense gradients, for each layer it keeps something of."""
    if observe is None:
        return aux
    seen: Parameters = {}
    for name in aux:
        arrays = (layout.canonical(each[name]).astype(jnp.float32) for each in (aux, parameters, gradients))
        seen[name] = layout.flax(observe(jnp, layers[name], *arrays))
    return seen


def _segment(
    value_and_grad: Callable[..., Any], optimizer: Optimizer, layers: Mapping[str, Layer]
) -> Callable[..., Any]:
    def step(
        observe: Observe | None, carry: Any, masks: Parameters, images: jax.Array, labels: jax.Array, rate: jax.Array
    ) -> Any:
        parameters, rest, state, aux = carry
        (loss, rest), gradients = value_and_grad(parameters, rest, images, labels)
        aux = _observed(observe, layers, aux, parameters, gradients)
        if not optimizer.elementwise:
            gradients = masked(gradients, masks)
        directions, state = optimizer.transformation.update(gradients, state, parameters)
        parameters: Any = optax.apply_updates(parameters, jax.tree.map(lambda d: -rate * d, directions))
        return (masked(parameters, masks), rest, state, aux), loss

    def segment(
        observe: Observe | None, parameters: Parameters, rest: Any, state: Any, aux: Parameters, masks: Parameters,
        data: tuple[jax.Array, jax.Array], batches: jax.Array, rates: jax.Array, count: jax.Array,
    ) -> tuple[Parameters, Any, Any, Parameters, jax.Array]:  # fmt: skip
        def body(j: jax.Array, carry: Any) -> Any:
            kept, losses = carry
            kept, loss = step(observe, kept, masks, data[0][batches[j]], data[1][batches[j]], rates[j])
            return kept, losses.at[j].set(loss)

        losses = jnp.zeros(len(batches), jnp.float32)
        kept, losses = jax.lax.fori_loop(0, count, body, ((parameters, rest, state, aux), losses))
        return *kept, losses

    return segment


def _gradient(value_and_grad: Callable[..., Any]) -> Callable[..., Any]:
    def gradient(
        parameters: Parameters, rest: Any, masks: Parameters, data: tuple[jax.Array, jax.Array], batch: jax.Array
    ) -> tuple[jax.Array, Any, Parameters]:
        (loss, rest), gradients = value_and_grad(parameters, rest, data[0][batch], data[1][batch])
        return loss, rest, {name: gradients[name] for name in masks}

    return gradient


def adopt(
    parameters: Parameters, state: Any, old: Parameters, new: Parameters, values: Parameters
) -> tuple[Parameters, Any]:
    """Dropped weights to zero, truly new ones to their value (none given: 0) and their optimizer state cleared."""
    grown = {name: new[name] & ~old[name] for name in new}
    state, parameters = clear(state, parameters, grown), masked(parameters, new)
    return parameters | {name: jnp.where(grown[name], v, parameters[name]) for name, v in values.items()}, state


def _evaluate(forward: Callable[..., jax.Array]) -> Callable[..., Any]:
    def evaluate(parameters: Parameters, rest: Any, data: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """(correct predictions, mean loss), batch by batch; the padding of the last batch weighs nothing."""
        images, labels = data
        batches = -(-len(labels) // EVALUATION_BATCH)
        place = jnp.arange(batches * EVALUATION_BATCH).reshape(batches, -1)

        def batch(index: jax.Array) -> tuple[jax.Array, jax.Array]:
            real, index = index < len(labels), jnp.minimum(index, len(labels) - 1)
            logits, truth = forward(parameters, rest, images[index]), labels[index]
            correct = (jnp.argmax(logits, axis=1) == truth) & real
            return correct.sum(), jnp.where(real, cross_entropy(logits, truth), 0).sum()

        correct, loss = jax.lax.map(batch, place)
        return correct.sum(), loss.sum() / len(labels)

    return evaluate
