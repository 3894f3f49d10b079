"""This harness against a bare hand-written loop: the same network, data, batches and optimizer, on CPU.

The bare loops are what one would write without this package: torch's eager steps, and one jitted step of JAX that is
called from Python. Segments of both take turns; the ratio of two neighbours is one observation. Time is that of this
process's threads, so that what else runs on the machine takes little part in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from sparsebench import plugins
from sparsebench.hardware.intervals import ratio
from sparsebench.hardware.workloads import BATCHES, Workload, task
from sparsebench.methods.dense import dense
from sparsebench.models import builder, initial_weights
from sparsebench.trainer import Task
from timing import arguments, show

WORKLOADS = (Workload("lenet-300-100", 128, 28), Workload("wrn-22-2", 32, 32))
STEPS = {"lenet-300-100": 100, "wrn-22-2": 2}
"""In a segment, all of one epoch."""
Work = Callable[[], None]


def harness(backend: str, job: Task, steps: int) -> Work:
    """One segment of the backend's own trainer."""
    trainer, feed = plugins.load("backends", backend).trainer("cpu"), job.feed(0)
    current = {"state": trainer.init(job, initial_weights(job.model, job.input, seed=0), {})}

    def work() -> None:
        current["state"], _ = trainer.train(current["state"], dense, feed, 0, steps)

    return work


def bare_torch(job: Task, steps: int) -> Work:
    """Eager, as in torch's tutorials; the loss is kept as a tensor, and read at the end."""
    module = builder(job.model, "torch")(job.input)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    images = torch.from_numpy(job.pixels(job.dataset.train))
    labels = torch.from_numpy(job.dataset.train.labels).long()
    order = torch.from_numpy(job.feed(0).indices(0, steps)).long()

    def work() -> None:
        losses = []
        for index in order:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(images[index]), labels[index])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).numpy()

    return work


def bare_jax(job: Task, steps: int) -> Work:
    """One jitted step with donated buffers; the losses are read at the end."""
    graph, parameters, rest = nnx.split(builder(job.model, "jax")(job.input), nnx.Param, ...)
    optimizer = optax.sgd(0.01, momentum=0.9)
    images, labels = jnp.asarray(job.pixels(job.dataset.train)), jnp.asarray(job.dataset.train.labels)
    order = job.feed(0).indices(0, steps)

    def loss_of(parameters: Any, rest: Any, index: jax.Array) -> tuple[jax.Array, Any]:
        module = nnx.merge(graph, parameters, rest, copy=True)
        entropy = optax.softmax_cross_entropy_with_integer_labels(module(images[index]), labels[index]).mean()
        return entropy, nnx.state(module, nnx.Not(nnx.Param))

    def step(parameters: Any, rest: Any, state: Any, index: jax.Array) -> tuple[Any, Any, Any, jax.Array]:
        (loss, rest), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters, rest, index)
        updates, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), rest, state, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    current = {"state": (parameters, rest, optimizer.init(parameters))}

    def work() -> None:
        losses = []
        for index in order:
            *kept, loss = compiled(*current["state"], index)
            current["state"] = tuple(kept)
            losses.append(loss)
        jax.device_get(losses)

    return work


BARE = {"torch": bare_torch, "jax": bare_jax}


def process_seconds(work: Work) -> float:
    """Of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(workload: Workload, backend: str, repeats: int) -> dict[str, object]:
    """Milliseconds a step (median) and the ratio harness / bare."""
    steps = STEPS[workload.model]
    job = task(workload, batches=max(BATCHES, steps))
    works = {"harness": harness(backend, job, steps), "bare": BARE[backend](job, steps)}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats + 2):
        for name in list(works)[:: 1 if repeat % 2 else -1]:
            seconds[name].append(process_seconds(works[name]))
    found = {name: np.array(values[2:]) for name, values in seconds.items()}
    return {
        "milliseconds": {name: round(float(np.median(values)) / steps * 1e3, 3) for name, values in found.items()},
        "harness_to_bare": asdict(ratio(found["harness"], found["bare"])),
    }


if __name__ == "__main__":
    options = arguments(__doc__, repeats=40)
    torch.set_num_threads(1)
    show(**{
        f"{workload.model} {backend}": measure(workload, backend, options.repeats)
        for workload in WORKLOADS for backend in BARE
    })  # fmt: skip
