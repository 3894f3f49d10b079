"""A recipe made to fit: lengths in steps, what nothing reads left out; what data or layers cannot bear is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sparsebench.config import Recipe
from sparsebench.data.augmentation import PADDING
from sparsebench.data.source import Dataset, Split
from sparsebench.data.stream import Stream
from sparsebench.errors import UserError
from sparsebench.method import Method
from sparsebench.trainer import Backend, Task

SGD = frozenset({"momentum", "nesterov"})
"""Settings that other optimizers do not read."""


LONGEST = 10_000_000
"""Steps of a run: its clock is asked at each of them before it starts."""


def resolved(recipe: Recipe, multiplier: float, dataset: Dataset, backend: Backend) -> Recipe:
    """Everything in steps, `multiplier` times as long; settings that nothing reads are as if not given."""
    unit = _unit(recipe, multiplier, dataset)
    lengths = {
        "steps": max(1, round(unit * _length(recipe))) if unit else 0,
        "epochs": None,
        "milestones": tuple(_whole(unit * each) for each in recipe.milestones),
        "warmup": _whole(unit * recipe.warmup),
    }
    return recipe.model_copy(update=lengths | {name: _default(name) for name in unread(recipe, dataset, backend)})


def _unit(recipe: Recipe, multiplier: float, dataset: Dataset) -> float:
    """Steps in what lengths are given in."""
    return multiplier * (1 if recipe.steps is not None else len(dataset.train.labels) // recipe.batch_size)


def _length(recipe: Recipe) -> float:
    return (recipe.epochs if recipe.steps is None else recipe.steps) or 0


def _whole(steps: float) -> float:
    return float(round(steps)) if steps <= LONGEST else steps


def check_length(recipe: Recipe, multiplier: float, dataset: Dataset) -> None:
    """Refuse a run that would never end; only one that is not refused can be `resolved`."""
    unit, length = _unit(recipe, multiplier, dataset), _length(recipe)
    if unit * length > LONGEST:
        given = "steps" if recipe.steps is not None else "epochs"
        raise UserError(
            f"a run of {given} {length:g} × multiplier {multiplier:g} is longer than {LONGEST:,} steps: ask for fewer"
        )


def unread(recipe: Recipe, dataset: Dataset, backend: Backend) -> set[str]:
    """Settings of the recipe that mean nothing here."""
    names = set(backend.unread)
    if recipe.optimizer != "sgd":
        names |= SGD
    if recipe.schedule != "step":
        names |= {"decay"}
    if recipe.image_size == dataset.shape[1]:
        names |= {"image_size"}
    return names


def _default(name: str) -> Any:
    return Recipe.model_fields[name].default


def sized(dataset: Dataset, recipe: Recipe) -> Dataset:
    """The data set with images of the recipe's size."""
    size, train, test = recipe.image_size, dataset.train, dataset.test
    if size is None or not (isinstance(train, Stream) and isinstance(test, Stream)):
        return dataset
    return replace(dataset, train=train.at(size), test=test.at(size))


def check_batch(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a batch that is larger than the training set."""
    samples = len(dataset.train.labels)
    if recipe.batch_size > samples:
        raise UserError(
            f"batch_size {recipe.batch_size} is larger than the training set of {dataset.name!r} "
            f"({samples} samples): use at most that many"
        )


def check_view(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse augmentation and standardisation that are for images in memory where they are not, and the reverse."""
    augmentation, memory = recipe.augmentation, isinstance(dataset.train, Split)
    if augmentation == ("resized-crop-flip" if memory else "crop-flip"):
        fitting, where = ("crop-flip", "in memory") if memory else ("resized-crop-flip", "read from a folder")
        raise UserError(
            f"augmentation {augmentation!r} is not for {dataset.name!r}, whose images are {where}: use {fitting!r} or "
            "'none'"
        )
    if augmentation == "crop-flip" and min(dataset.shape[1:]) < PADDING:
        raise UserError(
            f"augmentation 'crop-flip' mirrors {PADDING} pixels and images of {dataset.name!r} are "
            f"{dataset.shape[1]} × {dataset.shape[2]}: use 'none'"
        )
    if recipe.standardise == "image" and not memory:
        raise UserError(
            f"standardise 'image' is for data sets in memory, and {dataset.name!r} is read from a folder: use 'channel'"
        )


def check_size(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse another size of images that are as they are."""
    if recipe.image_size not in (None, dataset.shape[1]) and isinstance(dataset.train, Split):
        raise UserError(
            f"image_size {recipe.image_size}: images of {dataset.name!r} are {dataset.shape[1]} pixels a side, and "
            "only those of image folders are resized; leave it out"
        )


def check_sparsity(method: Method, sparsity: float) -> None:
    """Refuse a sparsity that the method's pattern cannot have."""
    if sparsity < 1 - method.densest:
        raise UserError(
            f"method {method.name!r} has at most {method.densest:.4g} of a layer's connections active: ask for a "
            f"sparsity of at least {1 - method.densest:.4g}, given {sparsity:g}"
        )


def check_layers(method: Method, task: Task) -> None:
    """Refuse masks where there is nothing to mask, or where a weight of zero would not be zero in the network."""
    if method.dense:
        return
    computed = [layer.name for layer in task.layers if layer.kind == "other" and layer.size]
    if computed or not task.prunable:
        reason = f"layer {computed[0]!r} computes its kernel from its weights" if computed else "it has no such layer"
        raise UserError(
            f"model {task.model.name!r} cannot be sparse: masks are for convolutions and linear layers that use their "
            f"weights as they are, and {reason}; train it dense, or choose another model"
        )


def check_rates(recipe: Recipe) -> None:
    """Refuse a schedule of the learning rate that ends after the run; lengths are in steps."""
    steps = recipe.steps or 0
    if recipe.warmup >= steps and recipe.warmup:
        raise UserError(f"warm-up of {recipe.warmup:g} steps in a run of {steps}: make it shorter than the run")
    late = [milestone for milestone in recipe.milestones if not 0 < milestone < steps]
    if late:
        raise UserError(
            f"milestone at step {late[0]:g} of a run of {steps}: milestones are in the unit of the length, after its "
            "start and before its end"
        )
    if len(set(recipe.milestones)) < len(recipe.milestones):
        raise UserError(
            f"milestones at steps {', '.join(f'{each:g}' for each in recipe.milestones)}: no two may be the same step; "
            "set them further apart"
        )
