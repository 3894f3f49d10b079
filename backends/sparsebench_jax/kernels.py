"""JAX's ways of computing linear layers, dense and sparse, each network one compiled call, for `sparsebench bench`.

Sparse formats are on the left of a product, so all networks keep (features, rows).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO, BCSR

from sparsebench.hardware.kernels import Array, Bound, Hardware, Kernel, Linears, Missing
from sparsebench_jax.memory import mask_bytes, step_bytes
from sparsebench_jax.probes import probes


def hardware(device: str) -> Hardware:
    """Kernels of the installed JAX on this device, and what it lacks."""
    place = jax.devices(device)[0]
    kernels = [
        Kernel("jax jit", "dense", partial(_bind, place, jnp.asarray)),
        Kernel("jax BCSR", "unstructured", partial(_bind, place, _bcsr)),
        Kernel("jax BCOO", "unstructured", partial(_bind, place, _bcoo)),
    ]
    missing = [
        Missing("jax block", "jax.experimental.sparse has no kernel for a matrix of dense blocks"),
        Missing("jax 2:4", "jax.experimental.sparse has no kernel for two of four"),
    ]
    return Hardware(kernels, missing, _wait, lambda: _peak(place), mask_bytes, step_bytes, probes(place))


def _bcsr(weight: Array) -> BCSR:
    """Made in NumPy: `fromdense` compiles for seconds."""
    rows, columns = np.nonzero(weight)
    starts = np.searchsorted(rows, np.arange(len(weight) + 1))
    values, places = jnp.asarray(weight[rows, columns]), jnp.asarray(columns.astype(np.int32))
    return BCSR(
        (values, places, jnp.asarray(starts.astype(np.int32))),
        shape=weight.shape,
        indices_sorted=True,
        unique_indices=True,
    )


def _bcoo(weight: Array) -> BCOO:
    places = np.argwhere(weight).astype(np.int32)
    values = weight[tuple(places.T)]
    arrays = (jnp.asarray(values), jnp.asarray(places))
    return BCOO(arrays, shape=weight.shape, indices_sorted=True, unique_indices=True)


def _bind(place: Any, convert: Callable[[Any], Any], layers: Linears, inputs: Array) -> Bound:
    weights = [jax.device_put(convert(weight), place) for weight in layers.weights]
    biases = [jax.device_put(bias[:, None], place) for bias in layers.biases]
    first = jax.device_put(np.ascontiguousarray(inputs.T), place)
    return Bound(lambda: _forward(weights, biases, first).block_until_ready(), lambda made: np.asarray(made).T)


@jax.jit
def _forward(weights: list[Any], biases: list[jax.Array], first: jax.Array) -> jax.Array:
    with jax.default_matmul_precision("highest"):  # float32 as on the host, not TF32
        hidden = weights[0] @ first + biases[0]
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = weight @ jax.nn.relu(hidden) + bias
    return hidden


def _wait(state: Any) -> None:
    jax.block_until_ready((state.parameters, state.rest, state.optimizer, state.masks))


def _peak(place: Any) -> int | None:
    """None on CPU, which keeps no count."""
    return (place.memory_stats() or {}).get("peak_bytes_in_use")
