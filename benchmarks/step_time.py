"""A masked training step against a dense one: LeNet-300-100, batch 128, 28 px, SGD with momentum, on CPU.

Both are the backend's own trainer on the same data, in segments of 100 steps; the ratio of two neighbouring segments
is one observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsebench import plugins
from sparsebench.config import Recipe
from sparsebench.data.source import Dataset, Split, standardising_table
from sparsebench.distributions import erk
from sparsebench.hardware.intervals import ratio
from sparsebench.hardware.timing import interleaved
from sparsebench.masks import first_masks
from sparsebench.methods.dense import dense
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from sparsebench.trainer import SparseTrainer, Task
from timing import arguments, show

STEPS = 100


def task() -> Task:
    """Random images: the time of a step does not depend on what they show."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12800, 1, 28, 28), np.uint8)
    split = Split(images, generator.integers(0, 10, len(images), np.int32))
    data = Dataset("random", 10, split, split, standardising_table(images))
    recipe = Recipe(batch_size=128, steps=STEPS, learning_rate=0.01)
    return Task(plugins.load("models", "lenet-300-100"), data, recipe, STEPS)


def segments(trainer: SparseTrainer[Any], task: Task, sparse: bool) -> Callable[[], None]:
    """One segment of training, from where the last one ended."""
    method = static if sparse else dense
    weights = initial_weights(task.model, task.input, seed=0)
    masks = first_masks(method, task.prunable, erk(task.prunable, 0.9), weights, seed=0)
    feed = task.feed(seed=0)
    current = {"state": trainer.init(task, weights, masks)}

    def work() -> None:
        current["state"], _ = trainer.train(current["state"], method, feed, 0, STEPS)

    return work


def measure(backend: str, repeats: int) -> dict[str, object]:
    """Microseconds a step (median) and the ratio masked / dense."""
    trainer, subject = plugins.load("backends", backend).trainer("cpu"), task()
    works = {"masked": segments(trainer, subject, sparse=True), "dense": segments(trainer, subject, sparse=False)}
    seconds = interleaved(works, repeats)
    return {
        "microseconds": {name: round(float(np.median(values)) / STEPS * 1e6, 1) for name, values in seconds.items()},
        "masked_to_dense": asdict(ratio(seconds["masked"], seconds["dense"])),
    }


if __name__ == "__main__":
    options = arguments(__doc__, repeats=60)
    show(**{backend: measure(backend, options.repeats) for backend in ("torch", "jax")})
