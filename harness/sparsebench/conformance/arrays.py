"""Arrays that are hard to order, each by the name of its kind and a seed: a failing case stays a line of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance.check import BrokenLawError

Floats = NDArray[np.float32]
Shape = tuple[int, ...]
Fill = Callable[[np.random.Generator, Shape], NDArray[Any]]

NORMAL = 2.0**-126
"""The smallest normal float32; what is smaller counts as 0."""
EDGES = [0.0, -0.0, 2.0**-149, -(2.0**-149), NORMAL / 2, -NORMAL / 2, NORMAL, -NORMAL, 1.0, -1.0]


def _dealt(*values: float) -> Fill:
    return lambda generator, shape: generator.choice(np.array(values, np.float32), shape)


def _mostly_zero(generator: np.random.Generator, shape: Shape) -> NDArray[Any]:
    return np.where(generator.random(shape) < 0.9, 0.0, generator.standard_normal(shape))


ORDINARY: Mapping[str, Fill] = MappingProxyType(
    {
        "few values": _dealt(-2.0, -1.0, 0.0, 1.0, 2.0),
        "mostly zero": _mostly_zero,
        "normal": lambda generator, shape: generator.standard_normal(shape),
    }
)
"""What weights and gradients look like."""
HARD: Mapping[str, Fill] = MappingProxyType(
    {
        "all equal": _dealt(1.0),
        "zeros of both signs": _dealt(0.0, -0.0),
        **ORDINARY,
        "around the smallest normal": _dealt(*EDGES),
    }
)
"""What scores may be."""


def made(kind: str, seed: int, purpose: str, shape: Shape) -> Floats:
    """Float32, read-only, keyed by kind, seed and purpose."""
    generator = np.random.Generator(np.random.Philox(key=[seed, sum(purpose.encode())]))
    array = HARD[kind](generator, shape).astype(np.float32)
    array.flags.writeable = False
    return array


# ---- comparisons ------------------------------------------------------------------------------------------------


def same(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """Equal to the bit; the first difference is told by its canonical flat index."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise BrokenLawError(f"{what}: {_kind(found)} instead of {_kind(expected)}")
    bits = [np.ascontiguousarray(array).reshape(-1) for array in (found, expected)]
    words = [array.view(f"u{array.dtype.itemsize}") for array in bits]
    apart = np.flatnonzero(words[0] != words[1])
    if apart.size:
        j = int(apart[0])
        more = f", {apart.size - 1} more of {found.size} differ" if apart.size > 1 else ""
        raise BrokenLawError(f"{what}: entry {j} is {bits[0][j]} instead of {bits[1][j]}{more}")


def near(found: NDArray[Any], expected: NDArray[Any], within: float, what: str) -> None:
    """Every entry within that distance of what is expected."""
    if found.shape != expected.shape:
        raise BrokenLawError(f"{what}: {_kind(found)} instead of {_kind(expected)}")
    distance = np.abs(np.asarray(found, np.float64) - expected).reshape(-1)
    if not distance.size or float(distance.max()) <= within:  # NaN is not
        return
    j = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
    raise BrokenLawError(
        f"{what}: entry {j} is {found.reshape(-1)[j]} instead of {expected.reshape(-1)[j]}, ±{within:.1g}"
    )


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
