"""What JAX does at most on a device: a copy, and products of square matrices in each precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from sparsebench.hardware.ceilings import BYTES, SIDE, operations
from sparsebench.hardware.kernels import Probe

Work = Callable[[], object]
TYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def probes(place: Any) -> list[Probe]:
    """Of the installed JAX on this device; float32 is meant, not TF32."""
    products = [Probe("jax matmul", name, partial(_product, place, kind)) for name, kind in TYPES.items()]
    return [Probe("jax copy", "memory", partial(_copy, place)), *products]


def _copy(place: Any) -> tuple[Work, float]:
    source = jnp.ones(BYTES // 4, jnp.float32, device=place)
    return lambda: jnp.copy(source).block_until_ready(), 2.0 * BYTES


def _product(place: Any, kind: Any) -> tuple[Work, float]:
    side = SIDE["cpu" if place.platform == "cpu" else "cuda"]
    left, right = (jnp.full((side, side), value, kind, device=place) for value in (1.5, 0.75))
    multiply = jax.jit(partial(jnp.matmul, precision="highest"))
    return lambda: multiply(left, right).block_until_ready(), operations(side)
