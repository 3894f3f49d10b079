"""The coarse seam: what a backend does for the harness. Everything between two calls runs at the backend's speed.

A backend owns its `State` (a mutable module in torch, a pytree in JAX); the harness only passes it along. A state
that was handed to `train` or `update` must not be used again: buffers may have been donated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsebench.config import Recipe
from sparsebench.data.augmentation import windows
from sparsebench.data.feed import Feed
from sparsebench.data.source import Dataset, Split, normalised, standardised
from sparsebench.hardware.kernels import Hardware, unknown_hardware
from sparsebench.layers import Layer
from sparsebench.masks import Change, Counts, Masks
from sparsebench.method import Event, Method
from sparsebench.models import Arrays, Builder, Input, Model
from sparsebench.replicas import Group, Launch
from sparsebench.schedules import RATES, falling, warming

State = TypeVar("State")

EVALUATION_BATCH = 1000
EVALUATION_VALUES = 3 * 32 * 32 * 128
"""Pixel values that are evaluated together, at most: a network's activations are some ten times as large each, and on
CPU what is larger than 32 MB is fetched from the system anew each time, which takes longer than to compute it."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained: a model, `width` times as wide, on a data set with a recipe, for `steps` iterations."""

    model: Model
    dataset: Dataset
    recipe: Recipe
    steps: int
    width: float = 1.0

    @property
    def input(self) -> Input:
        """What the model is built for."""
        return Input(self.dataset.shape, self.dataset.classes, self.width)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What costs FLOPs, in forward order; kind `other` costs what nobody knows."""
        return self.model.layers(self.input)

    @property
    def prunable(self) -> tuple[Layer, ...]:
        """The layers whose weights masks apply to: convolutions and linear layers."""
        return tuple(layer for layer in self.layers if layer.kind != "other")

    @property
    def full_width(self) -> tuple[Layer, ...]:
        """The layers at width 1, which costs are relative to."""
        return self.model.layers(replace(self.input, width=1.0))

    def feed(self, seed: int) -> Feed:
        """The order in which this seed visits the training set."""
        return Feed(len(self.dataset.train.labels), self.recipe.batch_size, seed)

    def rates(self, start: int, stop: int) -> NDArray[np.float64]:
        """Learning rates of iterations start … stop − 1."""
        return np.array([self._rate(i) for i in range(start, stop)])

    def _rate(self, i: int) -> float:
        recipe = self.recipe
        if recipe.schedule == "step":
            rate = falling(recipe.learning_rate, recipe.milestones, recipe.decay, i)
        else:
            rate = RATES[recipe.schedule](recipe.learning_rate, i / self.steps)
        return rate * warming(recipe.warmup, i)

    def pixels(self, split: Split) -> NDArray[np.float32]:
        """What the model sees of a split in memory before crop and flip: float32 of the images' shape."""
        if self.recipe.standardise == "image":
            return standardised(split)
        return normalised(split, self.dataset.table)

    def places(self, feed: Feed, start: int, stop: int) -> tuple[NDArray[np.int32], ...]:
        """What batches start … stop − 1 take from a split in memory, each (stop − start, batch, …).

        Indices of samples; and where they are augmented, the rows and the columns of each that make its view.
        """
        indices = feed.indices(start, stop)
        if not self.augmented:
            return (indices,)
        return (indices, *windows(feed.draws(start, stop), self.input.image))

    @property
    def augmented(self) -> bool:
        """Whether training images are cropped and flipped."""
        return self.recipe.augmentation != "none"

    @property
    def evaluation_batch(self) -> int:
        """Samples that are evaluated together: 1000, or fewer if they are larger than those of MNIST."""
        return max(1, min(EVALUATION_BATCH, EVALUATION_VALUES // math.prod(self.input.shape)))


@dataclass(frozen=True)
class Tally:
    """What a segment reports: the training loss of each of its iterations, float32 (stop − start,)."""

    losses: NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """What an update reports: the batch's loss if it took a gradient, and the change of each layer."""

    loss: float | None
    layers: dict[str, Change]


@dataclass(frozen=True)
class Metrics:
    """An evaluation: accuracy in [0, 1] and mean cross-entropy over every sample of a split."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class FrameworkCount:
    """What the framework itself counts for a forward pass of one sample, every connection active; None: it has none."""

    tool: str
    forward: float | None


class SparseTrainer(Protocol[State]):
    """Trains sparse networks in one framework on one device.

    Laws: after `init`, every iteration of `train` and every `update`, weights are exactly zero outside their
    mask; `update` leaves exactly `counts.active` entries in each layer; connections active before and after keep
    value and optimizer state to the bit; truly new ones are zero with per-element optimizer state cleared; shared
    counters and, where the event replaces a step, everything else is untouched but batch statistics. Without masks,
    `train` is the framework's own training, step for step.
    """

    def supports(self, task: Task, method: Method) -> str | None:
        """None, or the reason why this backend cannot run this method on this task."""
        ...

    def count(self, task: Task) -> FrameworkCount:
        """FLOPs as the framework counts them, to set beside the ledger's."""
        ...

    def init(self, task: Task, weights: Arrays, masks: Masks) -> State:
        """A state at iteration 0 with these weights (masked) and masks (canonical layout; none: dense training).

        Running statistics are as given among the weights; what is not given starts at mean 0 and variance 1.
        """
        ...

    def train(self, state: State, method: Method, feed: Feed, start: int, stop: int) -> tuple[State, Tally]:
        """One optimizer step for each batch start … stop − 1."""
        ...

    def update(
        self, state: State, method: Method, event: Event, budget: Mapping[str, Counts], feed: Feed
    ) -> tuple[State, Report]:
        """New masks. The gradient, where needed, is the mean over the whole of batch `event.iteration`.

        Raises:
            NonFiniteScoreError: a score is NaN or infinite; names the layer. It ends the run, whose record then holds
                weights and masks of the state as it was given: it has not changed, and nothing of it was donated.
        """
        ...

    def evaluate(self, state: State, split: Literal["train", "test"]) -> Metrics:
        """Accuracy and loss over every sample of a split, in evaluation mode."""
        ...

    def weights(self, state: State) -> dict[str, NDArray[np.float32]]:
        """A copy of all parameters and running statistics by timm's names, in canonical layout and float32."""
        ...

    def masks(self, state: State) -> Masks:
        """A copy of the masks, in canonical layout."""
        ...

    def snapshot(self, state: State) -> dict[str, NDArray[Any]]:
        """Everything needed to continue to the bit, as named arrays that safetensors can hold."""
        ...

    def restore(self, task: Task, arrays: Mapping[str, NDArray[Any]]) -> State:
        """The state that `snapshot` described."""
        ...


@dataclass(frozen=True, eq=False)
class Spread:
    """How a backend trains one run on many devices: the same trainer, which shares every batch with the other replicas.

    `join(device, launch)` meets the other processes and returns a `SparseTrainer` and the group of them. Beyond the
    trainer's own laws: losses, gradients, what a method observes, batch statistics and metrics are those of the whole
    batch, on every replica to the bit, so masks and weights stay the same on all. `alone`: one process can drive many
    devices; else each has a process of its own, which a launcher starts.

    Raises:
        UserError: there are not so many devices, or the others cannot be met.
    """

    join: Callable[[str, Launch], tuple[SparseTrainer[Any], Group]]
    alone: bool


@dataclass(frozen=True, eq=False)
class Backend:
    """A backend plugin: `trainer(device)` imports the framework and returns a `SparseTrainer`.

    `packages` are the distributions it needs, `extra` what to install for them. `builders` adds models that exist
    already: model name -> builder, or where it is (see `sparsebench.models.Model`). `unread` are settings of the recipe
    that mean nothing to it, and leave the identity of its runs. `hardware(device)` is what `sparsebench bench` asks it
    for. `spread` is how it trains on many devices, if it does.
    """

    name: str
    summary: str
    trainer: Callable[[str], SparseTrainer[Any]]
    packages: tuple[str, ...] = ()
    extra: str = ""
    numerics: int = 1
    builders: Mapping[str, str | Builder] = field(default_factory=dict[str, str | Builder])
    unread: frozenset[str] = frozenset()
    hardware: Callable[[str], Hardware] = unknown_hardware
    spread: Spread | None = None
