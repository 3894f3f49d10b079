"""A Flax module's state as named arrays, and back."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from sparsebench.models import Arrays
from sparsebench.states import check
from sparsebench_jax import layout


def state_of(module: nnx.Module) -> Arrays:
    """A copy of parameters and running statistics."""
    return {
        name: np.array(layout.canonical(np.asarray(variable[...])), order="C")
        for name, variable in _entries(module).items()
    }


def load(module: nnx.Module, arrays: Arrays) -> None:
    """Fill the module, in its own types.

    Raises:
        UserError: the arrays are another model's.
    """
    entries = _entries(module)
    check(arrays, {name: layout.canonical(variable[...]).shape for name, variable in entries.items()})
    for name, variable in entries.items():
        variable[...] = jnp.asarray(layout.flax(np.asarray(arrays[name])), variable.dtype)


def _entries(module: nnx.Module) -> dict[str, Any]:
    """Canonical name -> variable: the module's own, not copies."""
    return {
        layout.name(path): variable
        for path, variable in nnx.iter_graph(module)
        if isinstance(variable, nnx.Param | nnx.BatchStat)
    }
