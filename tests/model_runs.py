"""A model in both frameworks from one state on one batch: logits, gradients, statistics and losses, step by step."""

from typing import NamedTuple

import numpy as np

RATE = 0.01


class Step(NamedTuple):
    """Of one step in training mode: before it the logits, loss and gradients, after it the running statistics."""

    logits: np.ndarray
    loss: float
    gradients: dict
    statistics: dict


def batch(input, size, seed=0, dtype="float32"):
    """Normal images and uniform labels."""
    generator = np.random.default_rng(seed)
    images = generator.standard_normal((size, *input.shape)).astype(np.float32).astype(dtype)
    return images, generator.integers(0, input.classes, size)


def arbitrary(state, seed=0):
    """The state with every number moved: scales, biases and running statistics too."""
    generator = np.random.default_rng(seed)
    return {name: array * generator.uniform(0.5, 1.5, array.shape) + (
        generator.uniform(-0.3, 0.3, array.shape) if array.ndim == 1 and "var" not in name else 0
    ) for name, array in state.items()}  # fmt: skip


def started(own, weights):
    """A module's own state, running statistics, with these weights."""
    assert set(weights) == {name for name in own if "running" not in name}
    return own | weights


# ---- torch ----------------------------------------------------------------------------------------------------


def torch_steps(build, input, weights, images, labels, steps=1):
    """(logits in evaluation mode, steps of plain SGD), in the images' type."""
    import torch

    from sparsebench_models.conversion_torch import load, state_of

    torch.set_num_threads(1)
    module = build(input).to(torch.from_numpy(images).dtype)
    load(module, started(state_of(module), weights))
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    with torch.no_grad():
        evaluated = module.eval()(x).numpy()
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), RATE)
    return evaluated, [_torch_step(module, optimizer, x, y) for _ in range(steps)]


def _torch_step(module, optimizer, x, y):
    import torch

    optimizer.zero_grad()
    logits = module(x)
    loss = torch.nn.functional.cross_entropy(logits, y)
    loss.backward()
    gradients = {name: p.grad.numpy().copy() for name, p in module.named_parameters()}
    optimizer.step()
    statistics = {name: buffer.numpy().copy() for name, buffer in module.named_buffers() if "running" in name}
    return Step(logits.detach().numpy(), loss.item(), gradients, statistics)


# ---- Flax -----------------------------------------------------------------------------------------------------


def flax_steps(build, input, weights, images, labels, steps=1):
    """The same in Flax; in float64 inside `jax.enable_x64()`."""
    import jax
    from flax import nnx

    from sparsebench_models.conversion_flax import load, state_of

    module = build(input)
    nnx.update(module, jax.tree.map(lambda leaf: leaf.astype(images.dtype), nnx.state(module)))
    load(module, started(state_of(module), weights))
    graph, parameters, rest = nnx.split(module, nnx.Param, ...)
    evaluate, step = _compiled(graph)
    evaluated, done = np.asarray(evaluate(parameters, rest, images)), []
    for _ in range(steps):
        parameters, rest, loss, logits, gradients = step(parameters, rest, images, labels)
        done.append(Step(np.asarray(logits), float(loss), _named(gradients), _named(rest)))
    return evaluated, done


def _named(state):
    """Canonical name -> array in canonical layout."""
    from flax import nnx

    from sparsebench_jax import layout

    return {layout.name(path): layout.canonical(np.asarray(leaf[...])) for path, leaf in nnx.to_flat_state(state)}


def _compiled(graph):
    """(evaluate, step): each is compiled at its first call."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    def loss(parameters, rest, images, labels):
        module = nnx.merge(graph, parameters, rest, copy=True)
        module.train()
        logits = module(images)
        entropy = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()
        return entropy, (logits, nnx.state(module, nnx.Not(nnx.Param)))

    @jax.jit
    def evaluate(parameters, rest, images):
        module = nnx.merge(graph, parameters, rest, copy=True)
        module.eval()
        return module(images)

    @jax.jit
    def step(parameters, rest, images, labels):
        (value, (logits, rest)), gradients = jax.value_and_grad(loss, has_aux=True)(parameters, rest, images, labels)
        parameters = jax.tree.map(lambda p, g: p - jnp.asarray(RATE, p.dtype) * g, parameters, gradients)
        return parameters, rest, value, logits, gradients

    return evaluate, step


# ---- differences ----------------------------------------------------------------------------------------------


def apart(first, second):
    """The largest difference of any entry."""
    return max(float(np.abs(np.asarray(first[name]) - second[name]).max()) for name in first)


def relative(first, second):
    """The largest ‖a − b‖ / ‖a‖ of any array; arrays of zeros must be equal."""
    return max(
        float(np.linalg.norm(first[name] - second[name]) / (np.linalg.norm(first[name]) or 1e-30)) for name in first
    )


def kernels(step):
    """Gradients of prunable tensors."""
    return {name: gradient for name, gradient in step.gradients.items() if gradient.ndim > 1}
