"""Training in slow NumPy and float64, from the textbook: what a backend's losses, weights and gradients must be near.

Networks are chains of linear layers with a ReLU between them. Nothing here comes from a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.config import Recipe
from sparsebench.data.source import Split
from sparsebench.data.stream import Stream
from sparsebench.trainer import Task

Floats = NDArray[np.float64]
Weights = dict[str, Floats]


def memory(split: Split | Stream) -> Split:
    """The split, which must be in memory."""
    if isinstance(split, Stream):
        raise TypeError("a stream of files has no pixels to look at")
    return split


def batches(task: Task, seed: int) -> Iterator[tuple[Floats, NDArray[np.int32]]]:
    """(pixels, labels) of every iteration: the places of the feed, seen through crop and flip where they are asked."""
    split = memory(task.dataset.train)
    pixels = task.pixels(split).astype(np.float64)
    for index, *window in zip(*task.places(task.feed(seed), 0, task.steps), strict=True):
        images = pixels[index]
        if window:
            rows, columns = window
            images = np.stack([image[:, r][:, :, c] for image, r, c in zip(images, rows, columns, strict=True)])
        yield images, split.labels[index]


def logits(names: list[str], weights: Mapping[str, Any], images: Floats) -> tuple[Floats, list[Floats]]:
    """(logits, the input of each layer)."""
    hidden, inputs = images.reshape(len(images), -1), list[Floats]()
    for i, name in enumerate(names):
        hidden = np.maximum(hidden, 0) if i else hidden
        inputs.append(hidden)
        hidden = hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return hidden, inputs


def likelihoods(logits: Floats) -> Floats:
    """log softmax, by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def gradient(
    names: list[str], weights: Weights, images: Floats, labels: NDArray[np.int32], smoothing: float
) -> tuple[float, Weights]:
    """(mean cross-entropy against smoothed labels, its gradient by every weight and bias)."""
    made, inputs = logits(names, weights, images)
    log_p = likelihoods(made)
    truth = (1 - smoothing) * np.eye(made.shape[1])[labels] + smoothing / made.shape[1]
    loss, slopes, back = -float((truth * log_p).sum(axis=1).mean()), Weights(), (np.exp(log_p) - truth) / len(images)
    for name, entered in zip(reversed(names), reversed(inputs), strict=True):
        slopes |= {f"{name}.weight": back.T @ entered, f"{name}.bias": back.sum(axis=0)}
        back = back @ weights[f"{name}.weight"] * (entered > 0)
    return loss, slopes


# ---- optimizers -------------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """What an optimizer remembers of one array."""

    first: Floats
    second: Floats
    steps: int = 0


Rule = Callable[[Recipe, float, Floats, Floats, Memory], Floats]
"""(recipe, rate, array, gradient, memory) -> the array after a step; the recipe's decay is 0 for what is no kernel."""


def _sgd(recipe: Recipe, rate: float, array: Floats, slope: Floats, memory: Memory) -> Floats:
    slope = slope + recipe.weight_decay * array
    memory.first = recipe.momentum * memory.first + slope
    return array - rate * (slope + recipe.momentum * memory.first if recipe.nesterov else memory.first)


def _adam(recipe: Recipe, rate: float, array: Floats, slope: Floats, memory: Memory) -> Floats:
    slope = slope + recipe.weight_decay * array
    memory.steps += 1
    memory.first = 0.9 * memory.first + 0.1 * slope
    memory.second = 0.999 * memory.second + 0.001 * slope**2
    mean, square = memory.first / (1 - 0.9**memory.steps), memory.second / (1 - 0.999**memory.steps)
    return array - rate * mean / (np.sqrt(square) + 1e-8)


def _adamw(recipe: Recipe, rate: float, array: Floats, slope: Floats, memory: Memory) -> Floats:
    apart = recipe.model_copy(update={"weight_decay": 0.0})
    return _adam(apart, rate, array, slope, memory) - rate * recipe.weight_decay * array


RULES: Mapping[str, Rule] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


@dataclass
class Training:
    """A dense network in training, from these weights."""

    task: Task
    weights: Weights
    memory: dict[str, Memory] = field(default_factory=dict[str, Memory])

    def losses(self, seed: int) -> list[float]:
        """The loss of every iteration, each before its step."""
        rates, recipe = self.task.rates(0, self.task.steps), self.task.recipe
        names, losses = [layer.name for layer in self.task.layers], list[float]()
        for rate, (images, labels) in zip(rates, batches(self.task, seed), strict=True):
            loss, slopes = gradient(names, self.weights, images, labels, recipe.label_smoothing)
            losses.append(loss)
            self.weights = {name: self._moved(name, float(rate), slope) for name, slope in slopes.items()}
        return losses

    def _moved(self, name: str, rate: float, slope: Floats) -> Floats:
        array, recipe = self.weights[name], self.task.recipe
        if array.ndim < 2:
            recipe = recipe.model_copy(update={"weight_decay": 0.0})
        memory = self.memory.setdefault(name, Memory(np.zeros_like(array), np.zeros_like(array)))
        return RULES[recipe.optimizer](recipe, rate, array, slope, memory)
