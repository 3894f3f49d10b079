"""Running statistics: the part of a module's state, beside its parameters, that is named and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from sparsebench_jax import layout


def statistics_of(rest: Any) -> dict[str, jax.Array]:
    """Canonical name (`bn1.running_mean`) -> array."""
    return {layout.name(path): leaf[...] for path, leaf in nnx.to_flat_state(rest) if isinstance(leaf, nnx.BatchStat)}


def statistics_set(rest: Any, given: Mapping[str, jax.Array]) -> Any:
    """The same state with the statistics that are given, in its own types."""
    flat = {path: _filled(layout.name(path), leaf, given) for path, leaf in nnx.to_flat_state(rest)}
    return nnx.from_flat_state(flat)


def _filled(name: str, leaf: Any, given: Mapping[str, jax.Array]) -> Any:
    if isinstance(leaf, nnx.BatchStat) and name in given:
        return leaf.replace(given[name].astype(leaf.dtype))
    return leaf
