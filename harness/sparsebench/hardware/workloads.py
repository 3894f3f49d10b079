"""What is trained to be timed: a model on random images, which cost what others do and are there on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from sparsebench import plugins
from sparsebench.config import Recipe
from sparsebench.data.source import Dataset, Split, standardising_table
from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.models import Input
from sparsebench.trainer import Task

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""In which networks are trained."""
BATCHES = 16
"""In the training set: enough that none is still in the cache when its turn comes again."""


@dataclass(frozen=True)
class Workload:
    """A model, samples in a batch, and pixels a side."""

    model: str
    batch: int
    size: int


STANDARD: Mapping[str, tuple[Workload, ...]] = MappingProxyType(
    {
        "cpu": (
            Workload("lenet-300-100", 128, 28),
            Workload("wrn-22-2", 32, 32),
            Workload("mobilenetv1", 8, 96),
            Workload("resnet50", 8, 96),
        ),
        "cuda": (
            Workload("lenet-300-100", 128, 28),
            Workload("wrn-22-2", 128, 32),
            Workload("mobilenetv1", 64, 224),
            Workload("resnet50", 64, 224),
        ),
    }
)
"""By device: on two cores a step of each takes a second or less."""


def chosen(models: Sequence[str], device: str) -> tuple[Workload, ...]:
    """The standard workloads, or those of the models named; one that is not standard is trained at its own input.

    Raises:
        UserError: there is no such model, it has no initial weights, or it does not say what input it is for.
    """
    standard = {workload.model: workload for workload in STANDARD[device]}
    return tuple(standard.get(name) or _own(name) for name in dict.fromkeys(models)) or STANDARD[device]


def _own(name: str) -> Workload:
    model = plugins.load("models", name)
    if model.input is None or model.initial is None:
        raise UserError(f"model {name!r} has no {'input' if model.input is None else 'initial weights'} of its own, "
                        "so it cannot be timed")  # fmt: skip
    size = max(model.input.image)
    return Workload(name, 32 if size <= 32 else 8, size)


def input_of(workload: Workload) -> Input:
    """What the workload's model is built for."""
    own = plugins.load("models", workload.model).input
    if own is None:
        raise AssertionError(f"model {workload.model!r} was chosen without an input")
    return Input((own.shape[0], workload.size, workload.size), own.classes)


def layers(workload: Workload) -> tuple[Layer, ...]:
    """The model's layers at the workload's size."""
    return plugins.load("models", workload.model).layers(input_of(workload))


def task(workload: Workload, precision: Precision = "float32") -> Task:
    """The workload on random images, with SGD and momentum, at a constant rate."""
    given, generator, count = input_of(workload), np.random.default_rng(0), BATCHES * workload.batch
    images = generator.integers(0, 256, (count, *given.shape), np.uint8)
    split = Split(images, generator.integers(0, given.classes, count, np.int32))
    data = Dataset("random", given.classes, split, split, standardising_table(images))
    recipe = Recipe(
        batch_size=workload.batch, steps=BATCHES, schedule="constant", learning_rate=0.01, precision=precision
    )
    return Task(plugins.load("models", workload.model), data, recipe, BATCHES)
