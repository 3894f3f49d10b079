"""Random layers whose zeros follow a pattern, in NumPy: what sparse kernels multiply by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sparsebench.hardware.kernels import Linears, Pattern

BLOCKS = (16, 8, 4, 2, 1)
"""Sides of blocks that are tried: the largest that divides every layer's sides."""

Shape = tuple[int, int]
Zeros = Callable[[Shape, float, int, np.random.Generator], NDArray[np.bool_]]
"""(shape, density, side of a block, generator) -> where the weights are."""


def linears(shapes: Sequence[Shape], pattern: Pattern, density: float) -> Linears:
    """Layers of these (out, in) shapes, the same for the same arguments; weights are normal with variance 1 / in."""
    generator, side = np.random.default_rng(0), block_side(shapes) if pattern == "block" else 1
    weights = [
        generator.standard_normal(shape, np.float32)
        / np.float32(math.sqrt(shape[1]))
        * MASKS[pattern](shape, density, side, generator)
        for shape in shapes
    ]
    biases = [generator.standard_normal(shape[0], np.float32) for shape in shapes]
    return Linears(weights, biases, side)


def block_side(shapes: Sequence[Shape]) -> int:
    """The side of square blocks that every layer divides into."""
    return next(side for side in BLOCKS if all(n % side == 0 for shape in shapes for n in shape))


def _everywhere(shape: Shape, density: float, side: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    return np.ones(shape, np.bool_)


def _anywhere(shape: Shape, density: float, side: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """round(density · blocks) square blocks, at least one; single entries are blocks of side 1."""
    grid = (shape[0] // side, shape[1] // side)
    flat = np.zeros(math.prod(grid), np.bool_)
    flat[generator.permutation(len(flat))[: max(1, round(density * len(flat)))]] = True
    return flat.reshape(grid).repeat(side, 0).repeat(side, 1)


def _two_of_four(shape: Shape, density: float, side: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Two of every four neighbours in a row, whatever the density asked for; a rest of a row is full."""
    rows, columns = shape
    whole = columns // 4
    ranks = generator.random((rows, whole, 4)).argsort(axis=2)
    mask = np.ones(shape, np.bool_)
    mask[:, : 4 * whole] = (ranks < 2).reshape(rows, 4 * whole)
    return mask


MASKS: Mapping[Pattern, Zeros] = MappingProxyType(
    {"dense": _everywhere, "unstructured": _anywhere, "block": _anywhere, "2:4": _two_of_four}
)
