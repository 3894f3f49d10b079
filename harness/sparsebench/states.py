"""A model's whole state as named arrays: timm's names and torch's layout, running statistics included.

Here it is read from files, timm's checkpoints and our own records among them, and held against what a model needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sparsebench import bounded, tensors
from sparsebench.errors import UserError
from sparsebench.models import Arrays, Input, Model, initial_weights

Shapes = Mapping[str, tuple[int, ...]]

COUNTER = "num_batches_tracked"
"""A buffer of torch's batch normalisation that no result depends on: left out."""
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Given:
    """Weights to start from, float32; `digest` is the SHA-256 of the file's bytes, `path` where it was read."""

    path: Path
    digest: str
    arrays: Arrays


def given(path: Path) -> Given:
    """The weights in a safetensors file, read once per process.

    Raises:
        UserError: it cannot be read, or holds what is not floating point.
    """
    return _given(path.absolute())


@cache
def _given(path: Path) -> Given:
    content = _content(path)
    found: dict[str, np.ndarray] = {}
    for name, array in _state(path, content).items():
        if array.dtype.kind != "f":
            raise UserError(f"weights {path} hold {name!r} in {array.dtype}: floating-point arrays are needed")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told
            found[name] = np.asarray(array, np.float32)
        if not np.isfinite(found[name]).all():
            raise UserError(
                f"weights {path} hold {name!r} with values that are not finite in float32: give a network that is sound"
            )
    digest = hashlib.sha256(content).hexdigest()
    return Given(path, digest, found)


def start(digest: str | None, path: Path | None) -> Given | None:
    """The weights of that SHA-256, from the file at `path`; None where none are asked for.

    Raises:
        UserError: there is no path, or other weights are there.
    """
    if digest is None:
        return None
    if path is None:
        raise UserError(f"the run starts from weights of SHA-256 {digest[:12]}…: give their file with --weights")
    found = given(path)
    if found.digest != digest:
        raise UserError(
            f"--weights {path} has SHA-256 {found.digest[:12]}…, and the run starts from {digest[:12]}…: give that file"
        )
    return found


def read(path: Path) -> Arrays:
    """The state in a safetensors file.

    Raises:
        UserError: it cannot be read.
    """
    return _state(path, _content(path))


def _content(path: Path) -> bytes:
    with _reading(path):
        return bounded.content(path, bounded.room() // tensors.COPIES)


def _state(path: Path, content: bytes) -> Arrays:
    with _reading(path):
        arrays, _ = tensors.parsed(content, path.name)
    return {name: array for name, array in arrays.items() if not name.endswith(COUNTER)}


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read weights from {path}: {error}; a safetensors file is needed") from error


def write(path: Path, arrays: Arrays) -> None:
    """A safetensors file that `read` and timm's own models read."""
    tensors.write(path, arrays, {})


# ---- what fits ------------------------------------------------------------------------------------------------


def check(arrays: Arrays, shapes: Shapes, optional: Shapes | None = None) -> None:
    """Refuse a state of another model; what is `optional` may be missing.

    Raises:
        UserError: an array is missing, not known, or of another shape.
    """
    known = {**shapes, **(optional or {})}
    missing, unknown = shapes.keys() - arrays.keys(), arrays.keys() - known.keys()
    if missing or unknown:
        told = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("also has", unknown)) if names]
        raise UserError(f"these weights are of another model: the file {' and '.join(told)}; choose the model they fit")
    for name, shape in known.items():  # the model's order: that of a file is nobody's
        if name in arrays and np.shape(arrays[name]) != shape:
            raise UserError(
                f"{name} has shape {np.shape(arrays[name])} in the file and {shape} in the model: "
                "input channels, classes, width or the stem for small images differ; build the model for the file's"
            )


def check_start(weights: Given, model: Model, input: Input) -> None:
    """Refuse weights that are not all of the model's parameters, or more than those and its running statistics.

    Raises:
        UserError: as said; names the file.
    """
    try:
        check(weights.arrays, parameters(model, input), statistics(model, input, weights.arrays))
    except UserError as error:
        raise UserError(f"--weights {weights.path.name} for model {model.name!r}: {error}") from error


@cache
def parameters(model: Model, input: Input) -> Shapes:
    """Name -> shape of every parameter, as the initial state has them."""
    return {name: array.shape for name, array in initial_weights(model, input, 0).items()}


def statistics(model: Model, input: Input, arrays: Arrays) -> Shapes:
    """Name -> shape of the model's running statistics; of those in `arrays` where it does not tell its own."""
    if model.statistics is not None:
        return model.statistics(input)
    return {name: np.shape(array) for name, array in arrays.items() if name.endswith(STATISTICS)}


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
