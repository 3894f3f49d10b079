"""Dense training as each framework's users write it: the yardstick of law 6. Nothing here comes from a backend."""

import math
import pkgutil
from functools import partial

import numpy as np

from sparsebench.models import initial_weights
from tasks import CLASSES


def batches(job):
    """(rate, images, labels) of every iteration, from the definitions."""
    split, table = job.dataset.train, job.dataset.table
    images = np.stack([table[split.images[:, c], c] for c in range(table.shape[1])], axis=1)
    for i, batch in enumerate(job.feed(0).indices(0, job.steps)):
        fall = (1 + math.cos(math.pi * i / job.steps)) / 2 if job.recipe.schedule == "cosine" else 1
        yield job.recipe.learning_rate * fall, images[batch], split.labels[batch].astype(np.int64)


def plain_torch(job):
    """(losses, weights and running statistics) of torch's own loop."""
    import torch

    recipe, module = job.recipe, pkgutil.resolve_name(job.model.builders["torch"])(job.input)
    weights = initial_weights(job.model, job.input, 0)
    module.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
    kernels = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim == 1]
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = {
        "sgd": partial(torch.optim.SGD, momentum=recipe.momentum, nesterov=recipe.nesterov),
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }[recipe.optimizer](groups, lr=recipe.learning_rate)
    criterion, losses = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing), []
    parts = recipe.accumulation
    for rate, pixels, labels in batches(job):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = 0.0
        for part, truth in zip(np.split(pixels, parts), np.split(labels, parts), strict=True):
            mean = criterion(module(torch.from_numpy(part)), torch.from_numpy(truth)) / parts
            mean.backward()
            loss += mean.item()
        optimizer.step()
        losses.append(loss)
    return losses, {name: t.numpy() for name, t in module.state_dict().items() if t.is_floating_point()}


def plain_jax(job):
    """(losses, weights and running statistics) of a loop over a compiled step, with optax's own optimizers."""
    import jax
    import optax
    from flax import nnx

    recipe, module = job.recipe, pkgutil.resolve_name(job.model.builders["jax"])(job.input)
    weights = initial_weights(job.model, job.input, 0)
    graph, parameters, rest = nnx.split(module, nnx.Param, ...)
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    leaves = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    names = {path: f"{path[0]}.{leaves[path[1]]}" for path, _ in nnx.to_flat_state(parameters)}
    flat = {path: jax.numpy.array(weights[name].transpose(axes[weights[name].ndim])) for path, name in names.items()}
    kernels = {path: path[1] == "kernel" for path in flat}
    own = {
        "sgd": lambda rate: optax.sgd(rate, recipe.momentum or None, recipe.nesterov),
        "adam": lambda rate: optax.adam(rate),
        "adamw": lambda rate: optax.adamw(rate, weight_decay=recipe.weight_decay, mask=kernels),
    }[recipe.optimizer]
    optimizer = optax.inject_hyperparams(own)(rate=recipe.learning_rate)
    coupled = optax.add_decayed_weights(0.0 if recipe.optimizer == "adamw" else recipe.weight_decay, kernels)

    def mean_loss(flat, rest, images, labels):
        module = nnx.merge(graph, nnx.from_flat_state(flat), rest, copy=True)
        module.train()
        truth = optax.smooth_labels(jax.nn.one_hot(labels, CLASSES), recipe.label_smoothing)
        loss = optax.softmax_cross_entropy(module(images), truth).mean()
        return loss, nnx.state(module, nnx.Not(nnx.Param))

    @jax.jit
    def step(flat, rest, state, images, labels):
        (loss, rest), gradients = jax.value_and_grad(mean_loss, has_aux=True)(flat, rest, images, labels)
        gradients, _ = coupled.update(gradients, coupled.init(flat), flat)
        updates, state = optimizer.update(gradients, state, flat)
        return optax.apply_updates(flat, updates), rest, state, loss

    state, losses = optimizer.init(flat), []
    for rate, pixels, labels in batches(job):
        state.hyperparams["rate"] = jax.numpy.float32(rate)
        flat, rest, state, loss = step(flat, rest, state, pixels, labels)
        losses.append(float(loss))
    back = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    ours = {name: np.asarray(flat[path]).transpose(back[flat[path].ndim]) for path, name in names.items()}
    found = nnx.to_flat_state(rest)
    return losses, ours | {f"{name}.running_{leaf}": np.asarray(value[...]) for (name, leaf), value in found}


LOOPS = {"torch": plain_torch, "jax": plain_jax}
