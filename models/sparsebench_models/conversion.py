"""A model's whole state as named arrays: timm's names and torch's layout, running statistics included.

`conversion_torch` and `conversion_flax` exchange it with modules; here it is read from files, timm's checkpoints
among them, and held against what a module needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from sparsebench import tensors
from sparsebench.errors import UserError
from sparsebench.models import Arrays

COUNTER = "num_batches_tracked"
"""A buffer of torch's batch normalisation that no result depends on: left out."""


def read(path: Path) -> Arrays:
    """The state in a safetensors file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        arrays, _ = tensors.read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read weights from {path}: {error}; a safetensors file is needed") from error
    return {name: array for name, array in arrays.items() if not name.endswith(COUNTER)}


def write(path: Path, arrays: Arrays) -> None:
    """A safetensors file that `read` and timm's own models read."""
    tensors.write(path, arrays, {})


def check(arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a state of another model.

    Raises:
        UserError: an array is missing, not known, or of another shape.
    """
    missing, unknown = shapes.keys() - arrays.keys(), arrays.keys() - shapes.keys()
    if missing or unknown:
        told = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("also has", unknown)) if names]
        raise UserError(f"these weights are of another model: the file {' and '.join(told)}; choose the model they fit")
    for name, shape in shapes.items():
        if np.shape(arrays[name]) != shape:
            raise UserError(
                f"{name} has shape {np.shape(arrays[name])} in the file and {shape} in the model: "
                "input channels, classes, width or the stem for small images differ; build the model for the file's"
            )


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
