"""What arrays of a snapshot are called, so that one backend can go on from another's.

    parameter/NAME  statistic/NAME       weights, biases, running statistics
    mask/LAYER      aux/LAYER            masks, and what the method has observed
    momentum/NAME   mean/NAME  square/NAME   what the optimizer keeps of each entry: SGD's momentum, Adam's two moments
    steps/NAME                           how many steps it has counted, float32 as torch has it, or int32
    aside/…                              a backend's own, which no result of another depends on

In canonical layout, timm's names. What has a name of no such kind only the backend that wrote it can read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.states import Shapes

Snapshot = Mapping[str, NDArray[Any]]

PARAMETER, STATISTIC, MASK, AUX = "parameter/", "statistic/", "mask/", "aux/"
MOMENTS = ("momentum/", "mean/", "square/")
STEPS = "steps/"
ASIDE = "aside/"
KINDS = (PARAMETER, STATISTIC, MASK, AUX, *MOMENTS, STEPS, ASIDE)
BFLOAT16 = ":bfloat16"
"""Ends the name of an array that holds bfloat16 as its bits in int16: NumPy has no such type."""


def under(kind: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a kind by what follows it in their names."""
    return {name.removeprefix(kind): value for name, value in arrays.items() if name.startswith(kind)}


def check_portable(arrays: Snapshot, parameters: Shapes, layers: tuple[Layer, ...]) -> None:
    """Refuse a snapshot that another backend cannot read.

    Raises:
        UserError: an array is of no kind that all know, or one is not of the network's parameters or layers.
    """
    strange = sorted(name for name in arrays if not name.startswith(KINDS))
    if strange:
        raise UserError(f"it holds {strange[0]!r}, which only the backend that wrote it can read: continue it there")
    found = {name.removesuffix(BFLOAT16): np.shape(value) for name, value in under(PARAMETER, arrays).items()}
    masks = {layer.name: layer.shape for layer in layers}
    wrong = [name for name, shape in parameters.items() if found.get(name) != shape]
    wrong += [name for name, mask in under(MASK, arrays).items() if masks.get(name) != np.shape(mask)]
    wrong += [name for name, entry, shape in _kept(arrays) if parameters.get(entry) != shape and shape != ()]
    wrong += [name for name, entry, _ in _kept(arrays) if entry not in parameters]
    wrong += [AUX + name for name in under(AUX, arrays) if name.removesuffix(BFLOAT16) not in masks]
    if wrong:
        raise UserError(f"its {wrong[0]!r} is not that of the network: continue it where it was begun")


def _kept(arrays: Snapshot) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(name, the parameter, the shape) of what the optimizer keeps; a count of steps has the shape ()."""
    for kind in (*MOMENTS, STEPS):
        for name, array in under(kind, arrays).items():
            yield kind + name, name.removesuffix(BFLOAT16), np.shape(array)
