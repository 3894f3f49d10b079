"""Names and axis orders: Flax's paths and kernels against the canonical names and torch's layout."""

from __future__ import annotations

from typing import Any

_TO_CANONICAL = {2: (1, 0), 4: (3, 2, 0, 1)}
"""Axes of (in, out) and HWIO kernels in the order (out, in) and OIHW; everything else is the same in both."""
_TO_FLAX = {2: (1, 0), 4: (2, 3, 1, 0)}
_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}


def canonical(array: Any) -> Any:
    """A Flax array in canonical axis order: in NumPy a view, never a copy."""
    axes = _TO_CANONICAL.get(array.ndim)
    return array if axes is None else array.transpose(axes)


def flax(array: Any) -> Any:
    """A canonical array in Flax's axis order: in NumPy a view, never a copy."""
    axes = _TO_FLAX.get(array.ndim)
    return array if axes is None else array.transpose(axes)


def name(path: tuple[object, ...]) -> str:
    """Canonical name of a Flax path, of a parameter or a running statistic: ("fc1", "kernel") is `fc1.weight`."""
    *parents, leaf = map(str, path)
    return ".".join([*parents, _LEAVES.get(leaf, leaf)])
