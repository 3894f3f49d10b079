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
from sparsebench.layers import Image, Layer
from sparsebench.policy import STANDARD, Policy
from sparsebench.printing import command

if TYPE_CHECKING:
    from sparsebench.trainer import Backend

Arrays = Mapping[str, NDArray[Any]]
"""Parameter name (`fc1.weight`, `fc1.bias`) -> array in canonical layout."""


@dataclass(frozen=True)
class Input:
    """What a model is built for: images of (channels, height, width), a number of classes, and how wide.

    Every channel count c of the model becomes ⌊c·width⌋ (see `sparsebench.widths`).
    """

    shape: tuple[int, int, int]
    classes: int
    width: float = 1.0

    @property
    def image(self) -> Image:
        """Height and width."""
        return self.shape[1:]


Builder = Callable[[Input], Any]
"""Makes a framework's module, with parameters named as in the initial state."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model's specification.

    `layers(input)` is the table of prunable tensors, in forward order. `initial(input, generator)` draws the one
    initial state that every backend starts from. `builders` maps a backend's name to a `Builder`, or to where one is as
    "module:function", so that no framework is imported for its name. A model without them has a layer table and costs,
    and cannot be trained. Running statistics are not part of `initial`: a
    builder starts them at mean 0 and variance 1; `statistics(input)` tells the shape of each, and of whatever else of
    its state is no parameter (None: not told). All of these honour the input's width.

    `input` is what it was published for, which costs are counted at. `policy` says for each distribution what happens
    to stem, depthwise and classifier layers (none: `STANDARD`). `input_gradient` says whether published costs count
    the gradient with respect to the network's input. `reference` names the model that this one is a wider form of.
    `packages` are distributions that its results depend on, beside the backend's. `timm(input)` names timm's model that
    is the same network at that input, in every name and number (None: there is none). `draws` says whether its layers
    may draw from a framework's own generator in training, which a backend then keys anew for each step.
    """

    name: str
    summary: str
    layers: Callable[[Input], tuple[Layer, ...]]
    initial: Callable[[Input, np.random.Generator], dict[str, NDArray[np.float32]]] | None = None
    builders: Mapping[str, str | Builder] = field(default_factory=dict[str, str | Builder])
    numerics: int = 1
    input: Input | None = None
    policy: Mapping[str, Policy] = field(default_factory=dict[str, Policy])
    input_gradient: bool = True
    reference: str = ""
    packages: tuple[str, ...] = ()
    statistics: Callable[[Input], Mapping[str, tuple[int, ...]]] | None = None
    timm: Callable[[Input], str | None] | None = None
    draws: bool = True

    def policy_under(self, distribution: str) -> Policy:
        """What happens to special layers under a distribution of that name."""
        return self.policy.get(distribution, STANDARD[distribution])


@dataclass(frozen=True)
class Family:
    """Models by name under a common one: `timm/resnet18` is `member("resnet18")` of the family `timm`.

    `member` raises a UserError for a name that it does not know.
    """

    name: str
    summary: str
    member: Callable[[str], Model]


def builder(model: Model, backend: str) -> Builder:
    """The function that builds `model` in the framework of the backend of that name.

    Raises:
        UserError: there is none.
    """
    found = declared_builder(model, plugins.load("backends", backend))
    return pkgutil.resolve_name(found) if isinstance(found, str) else found


def declared_builder(model: Model, backend: Backend) -> str | Builder:
    """That function, or where it is; what the model says comes before what the backend adds. Nothing is imported.

    Raises:
        UserError: neither of them names one.
    """
    found = model.builders.get(backend.name) or backend.builders.get(model.name)
    if found is None:
        has = f"has builders for {', '.join(sorted(model.builders))}" if model.builders else "is a layer table only"
        raise UserError(
            f"backend {backend.name!r} cannot build model {model.name!r}: the model {has}; "
            "choose another backend or model"
        )
    return found


def initial_weights(model: Model, input: Input, seed: int, draw: int = 0) -> dict[str, NDArray[np.float32]]:
    """The weights every backend and method starts from with this seed, from NumPy's Philox.

    `draw` 0 is the one that runs start from; others are as good, and have nothing in common with it.

    Raises:
        UserError: the model has a layer table and no initial state.
    """
    if model.initial is None:
        raise UserError(
            f"model {model.name!r} has a layer table and no initial weights, so it cannot be trained yet: "
            f"`{command('sparsebench', 'flops', model.name)}` counts its costs"
        )
    purpose = 0x77656967  # "weig": keeps this stream apart from every other use of the seed
    return model.initial(input, np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, draw, purpose])))
