"""A model as a specification: its layer table and its initial weights in plain Python; frameworks only build it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import plugins
from sparsebench.errors import UserError
from sparsebench.layers import Layer

if TYPE_CHECKING:
    from sparsebench.trainer import Backend

Arrays = Mapping[str, NDArray[Any]]
"""Parameter name (`fc1.weight`, `fc1.bias`) -> array in canonical layout."""


@dataclass(frozen=True)
class Input:
    """What a model is built for: images of (channels, height, width) and a number of classes."""

    shape: tuple[int, int, int]
    classes: int


@dataclass(frozen=True, eq=False)
class Model:
    """A model's specification.

    `layers(input)` is the table of prunable tensors, in forward order. `initial(input, generator)` draws the one
    initial state that every backend starts from. `builders` maps a backend's name to "module:function", a
    function of an `Input` that returns the framework's module with parameters named as in `initial`.
    """

    name: str
    summary: str
    layers: Callable[[Input], tuple[Layer, ...]]
    initial: Callable[[Input, np.random.Generator], dict[str, NDArray[np.float32]]]
    builders: Mapping[str, str] = field(default_factory=dict[str, str])
    numerics: int = 1


def builder(model: Model, backend: str) -> Callable[[Input], Any]:
    """The function that builds `model` in the framework of the backend of that name.

    Raises:
        UserError: there is none.
    """
    return pkgutil.resolve_name(builder_path(model, plugins.load("backends", backend)))


def builder_path(model: Model, backend: Backend) -> str:
    """Where that function is, as "module:function"; what the model says comes before what the backend adds.

    Raises:
        UserError: neither of them names one.
    """
    path = model.builders.get(backend.name) or backend.builders.get(model.name)
    if path is None:
        raise UserError(
            f"backend {backend.name!r} cannot build model {model.name!r}: the model has builders for "
            f"{', '.join(sorted(model.builders)) or 'no backend'}; choose such a backend, or another model"
        )
    return path


def initial_weights(model: Model, input: Input, seed: int) -> dict[str, NDArray[np.float32]]:
    """The weights every backend and method starts from with this seed, from NumPy's Philox."""
    purpose = 0x77656967  # "weig": keeps this stream apart from every other use of the seed
    return model.initial(input, np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, purpose])))
