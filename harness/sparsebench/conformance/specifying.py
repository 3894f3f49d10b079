"""What a model promises without any framework: a table of its own layers and an initial state, at any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance.arrays import same
from sparsebench.conformance.check import Check, require
from sparsebench.conformance.ground import CLASSES
from sparsebench.errors import UserError
from sparsebench.layers import Layer, convolved
from sparsebench.models import Arrays, Input, Model, initial_weights

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Table:
    """A model's specification, without any framework."""

    model: Model

    @property
    def name(self) -> str:
        """The column of the certificate."""
        return "spec"


def compact(model: Model) -> Input:
    """A small input and a small width, if the model has such; else what it was published for.

    Raises:
        UserError: it has none of them.
    """
    published = model.input or Input((3, 32, 32), CLASSES)
    channels, *image = published.shape
    small = (channels, *(min(side, 16) for side in image))
    sizes = [Input((channels, small[1], small[2]), CLASSES, width) for width in (0.25, 1.0)]
    sizes.append(replace(published, classes=CLASSES))
    reason = ""
    for input in sizes:
        try:
            model.layers(input)
            initial_weights(model, input, 0)
        except UserError as error:
            reason = str(error)
        else:
            return input
    raise UserError(reason)


# ---- the specification ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sized:
    """What a network is built for."""

    side: int
    classes: int
    width: float
    seed: int


def _sizes(place: Table) -> SearchStrategy[Sized]:
    from hypothesis import strategies as st

    widths = st.sampled_from([1.0, 0.25]) | st.floats(0.05, 1.5)
    return st.builds(Sized, st.integers(8, 40), st.integers(2, 12), widths, st.integers(0, 2**63 - 2))


def _small(place: Table) -> list[Sized]:
    input = compact(place.model)
    return [Sized(input.shape[1], input.classes, input.width, 0)]


def _input(model: Model, case: Sized) -> Input:
    channels = model.input.shape[0] if model.input else 3
    return Input((channels, case.side, case.side), case.classes, case.width)


def _tabled(place: Table, case: Sized) -> None:
    input = _input(place.model, case)
    layers, weights = place.model.layers(input), initial_weights(place.model, input, case.seed)
    names = [layer.name for layer in layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"rows of the table share the name {twice[:1]}")
    for layer in layers:
        if layer.kind != "other":
            _row(layer, weights)
    kernels = {name.removesuffix(".weight") for name, array in weights.items() if _is_kernel(name, array)}
    forgotten = sorted(kernels - set(names))
    require(not forgotten, f"kernel {forgotten[:1]} is in no row of the table: what it costs is forgotten")


def _is_kernel(name: str, array: NDArray[Any]) -> bool:
    return name.endswith(".weight") and array.ndim >= 2


def _row(layer: Layer, weights: Arrays) -> None:
    what, name = f"row {layer.name!r}", f"{layer.name}.weight"
    require(name in weights, f"{what}: the network has no parameter {name}")
    found = weights[name].shape
    require(found == layer.shape, f"{what} has shape {layer.shape}, and its parameter {found}")
    dimensions = {"linear": 2, "conv": 4}[layer.kind]
    require(len(layer.shape) == dimensions, f"{what}: a {layer.kind} kernel of {len(layer.shape)} dimensions is none")
    require(layer.macs == layer.positions * layer.size, f"{what}: {layer.macs} multiply-adds for {layer.size} weights")
    if layer.kind == "conv" and layer.input:
        expected = math.prod(convolved(layer.input, layer.shape[2], layer.stride))
        require(
            layer.positions == expected,
            f"{what} is used at {layer.positions} positions; images of {layer.input} and stride {layer.stride} make it "
            f"{expected}",
        )


def _drawn(place: Table, case: Sized) -> None:
    input = _input(place.model, case)
    first, again, other = (initial_weights(place.model, input, case.seed + i) for i in (0, 0, 1))
    for name, array in first.items():
        require(array.dtype == np.float32, f"{name} starts as {array.dtype}, not float32")
        require(np.isfinite(array).all(), f"{name} does not start finite")
        same(again[name], array, f"{name}, drawn again from seed {case.seed}")
    kernels = [name for name, array in first.items() if _is_kernel(name, array)]
    fixed = [name for name in kernels if np.array_equal(first[name], other[name])]
    require(not fixed, f"seeds {case.seed} and {case.seed + 1} draw the same {fixed[:1]}")


CHECKS = (
    Check(
        "table", "every kernel has a row, of its shape and multiply-adds",
        Sized, _sizes, _tabled, first=_small,
    ),
    Check(
        "initial", "initial weights are finite float32 and follow from the seed",
        Sized, _sizes, _drawn, first=_small,
    ),
)  # fmt: skip
