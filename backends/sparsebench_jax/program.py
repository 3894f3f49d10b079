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
from sparsebench_jax.batches import Batch, Origin, accumulated, look
from sparsebench_jax.optimizers import Optimizer, Parameters, clear
from sparsebench_jax.placement import Placement
from sparsebench_jax.statistics import statistics_set

CHUNK = 128
"""Steps for which one call of the compiled loop has room; a shorter segment runs fewer iterations of it."""


@dataclass(frozen=True)
class Program:
    """Compiled functions over (parameters, rest, optimizer state); `rest` is the module without its parameters.

    The fields `parameters` (by canonical name) and `rest` hold shapes and types only. A batch is what it takes from
    its origin, see `batches.look`; `segment` is given many at once, the others one.
    """

    parameters: dict[str, jax.ShapeDtypeStruct]
    rest: Any
    optimizer: Optimizer
    fresh: Callable[..., tuple[Parameters, Any, Any]]
    segment: Callable[..., tuple[Parameters, Any, Any, Parameters, jax.Array]]
    step: Callable[..., tuple[Parameters, Any, Any, Parameters, jax.Array]]
    gradient: Callable[..., tuple[jax.Array, Any, Parameters]]
    adopt: Callable[..., tuple[Parameters, Any]]
    evaluate: Callable[..., tuple[jax.Array, jax.Array]]
    count: Callable[[], float | None]
    """FLOPs of one sample's forward pass, as XLA counts them; None where it does not."""


def slow_in_loops(task: Task, platform: str) -> bool:
    """Whether to step from the host, since compiled loops would be a hundred times slower.

    XLA on CPU has its fast convolutions outside of loops only (jax-ml/jax issue 12868).
    """
    return platform == "cpu" and any(layer.kind == "conv" for layer in task.layers)


def compile(task: Task, optimizer: Optimizer, place: Placement) -> Program:
    """The functions of a task; XLA compiles each at its first call."""
    build = partial(builder(task.model, "jax"), task.input)
    half = _halved(task)
    graph, parameters, rest = nnx.split(nnx.eval_shape(partial(_computing, half, build)), nnx.Param, ...)
    names = {path: layout.name(path) for path, _ in nnx.to_flat_state(parameters)}
    shapes = {names[path]: jax.ShapeDtypeStruct(p.shape, p.dtype) for path, p in nnx.to_flat_state(parameters)}
    smoothing = task.recipe.label_smoothing
    layers = {f"{layer.name}.weight": layer for layer in task.layers}

    def fresh(weights: Parameters, masks: Parameters) -> tuple[Parameters, Any, Any]:
        """Compiled, so that weights the module draws for itself are dropped and no two leaves share a buffer."""
        parameters = masked({name: weights[name].astype(own.dtype) for name, own in shapes.items()}, masks)
        rest = statistics_set(nnx.state(build(), nnx.Not(nnx.Param)), weights)
        return parameters, rest, optimizer.transformation.init(parameters)

    def module(parameters: Parameters, rest: Any, training: bool) -> Any:
        parameters = parameters | {name: parameters[name].astype(jnp.bfloat16) for name in half & parameters.keys()}
        state = nnx.from_flat_state({path: parameters[name] for path, name in names.items()})
        built = nnx.merge(graph, state, rest, copy=True)  # variables of this trace: batch statistics are written
        built.train() if training else built.eval()
        return built

    def loss(parameters: Parameters, rest: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        built = module(parameters, rest, training=True)
        entropy = cross_entropy(built(seen(images)), labels, smoothing).mean()
        return entropy, nnx.state(built, nnx.Not(nnx.Param))

    def forward(parameters: Parameters, rest: Any, images: jax.Array) -> jax.Array:
        return module(parameters, rest, training=False)(seen(images))

    def seen(images: jax.Array) -> jax.Array:
        return images.astype(jnp.bfloat16) if half else images

    @cache
    def count() -> float | None:
        image = jax.ShapeDtypeStruct((1, *task.input.shape), jnp.float32)
        found: Any = jax.jit(forward).lower(shapes, rest, image).cost_analysis()
        return found.get("flops") if isinstance(found, Mapping) else None

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    mean_gradient = accumulated(value_and_grad, task.recipe.accumulation, unrolled=slow_in_loops(task, place.platform))
    step = _step(mean_gradient, optimizer, layers)
    donated: dict[str, Any] = {"static_argnums": 0, "donate_argnums": (1, 2, 3, 4)}
    jit = partial(jax.jit, out_shardings=place.whole)
    return Program(
        shapes, rest, optimizer, jit(fresh),
        jit(_segment(step), **donated), jit(step, **donated), jit(_gradient(mean_gradient)),
        jit(adopt, donate_argnums=(0, 1)), jit(_evaluate(forward)), count,
    )  # fmt: skip


def _halved(task: Task) -> frozenset[str]:
    """What is bfloat16 in the forward pass: weights and biases of convolutions and linear layers."""
    if task.recipe.precision == "float32":
        return frozenset()
    return frozenset(f"{layer.name}.{part}" for layer in task.layers for part in ("weight", "bias"))


def _computing(half: frozenset[str], build: Callable[[], nnx.Module]) -> nnx.Module:
    """The module; Flax's layers would compute in float32 after a normalisation that returns it, were they not told."""
    built = build()
    for _, part in nnx.iter_graph(built) if half else ():
        if isinstance(part, nnx.Conv | nnx.Linear):
            part.dtype = jnp.bfloat16
    return built


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


def _step(
    mean_gradient: Callable[..., Any], optimizer: Optimizer, layers: Mapping[str, Layer]
) -> Callable[..., tuple[Parameters, Any, Any, Parameters, jax.Array]]:
    def step(
        observe: Observe | None, parameters: Parameters, rest: Any, state: Any, aux: Parameters, masks: Parameters,
        origin: Origin, batch: Batch, rate: jax.Array,
    ) -> tuple[Parameters, Any, Any, Parameters, jax.Array]:  # fmt: skip
        loss, rest, gradients = mean_gradient(parameters, rest, origin, batch)
        aux = _observed(observe, layers, aux, parameters, gradients)
        if not optimizer.elementwise:
            gradients = masked(gradients, masks)
        directions, state = optimizer.transformation.update(gradients, state, parameters)
        moved: Any = optax.apply_updates(parameters, jax.tree.map(lambda d: -rate * d, directions))
        return masked(moved, masks), rest, state, aux, loss

    return step


def _segment(step: Callable[..., Any]) -> Callable[..., tuple[Parameters, Any, Any, Parameters, jax.Array]]:
    def segment(
        observe: Observe | None, parameters: Parameters, rest: Any, state: Any, aux: Parameters, masks: Parameters,
        origin: Origin, batches: Batch, rates: jax.Array, count: jax.Array,
    ) -> tuple[Parameters, Any, Any, Parameters, jax.Array]:  # fmt: skip
        def body(j: jax.Array, carry: Any) -> Any:
            kept, losses = carry
            batch = tuple(each[j] for each in batches)
            *kept, loss = step(observe, *kept, masks, origin, batch, rates[j])
            return tuple(kept), losses.at[j].set(loss)

        losses = jnp.zeros(len(rates), jnp.float32)
        kept, losses = jax.lax.fori_loop(0, count, body, ((parameters, rest, state, aux), losses))
        return *kept, losses

    return segment


def _gradient(mean_gradient: Callable[..., Any]) -> Callable[..., tuple[jax.Array, Any, Parameters]]:
    def gradient(
        parameters: Parameters, rest: Any, masks: Parameters, origin: Origin, batch: Batch
    ) -> tuple[jax.Array, Any, Parameters]:
        loss, rest, gradients = mean_gradient(parameters, rest, origin, batch)
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
    def evaluate(
        parameters: Parameters, rest: Any, origin: Origin, batch: Batch, real: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(correct predictions, summed loss) of a batch; what is not `real` pads it and weighs nothing."""
        images, labels = look(origin, batch)
        logits = forward(parameters, rest, images)
        correct = (jnp.argmax(logits, axis=1) == labels) & real
        return correct.sum(), jnp.where(real, cross_entropy(logits, labels), 0).sum()

    return evaluate
