"""What a batch takes from its origin inside a compiled program, and the mean gradient over the parts of a batch.

In memory: the origin is all images, normalised, and all labels; a batch is indices, and rows and columns where images
are augmented. Streamed: the origin is the table of normalisation; a batch is images of uint8 and labels. Where it is
taken in parts, these have an axis of their own before that of the samples, which is what devices share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Origin = tuple[jax.Array, ...]
Batch = tuple[jax.Array, ...]


def look(origin: Origin, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Normalised images and labels of a batch: gathers only, since arithmetic differs between backends."""
    if len(origin) == 1:
        (table,), (images, labels) = origin, batch
        return table[images, jnp.arange(table.shape[1])[:, None, None]], labels
    (images, labels), (index, *window) = origin, batch
    if not window:
        return images[index], labels[index]
    return jax.vmap(lambda one, rows, columns: one[:, rows[:, None], columns])(images[index], *window), labels[index]


def accumulated(
    value_and_grad: Callable[..., Any], parts: int, unrolled: bool
) -> Callable[..., tuple[jax.Array, Any, dict[str, jax.Array]]]:
    """(mean loss, rest, mean gradients) over the equal parts of a batch, one after another.

    `value_and_grad(parameters, rest, images, labels)` returns ((loss, rest), gradients). `unrolled`, there is no loop,
    and the program grows with the number of parts.
    """

    def of_part(parameters: Any, rest: Any, origin: Origin, batch: Batch) -> tuple[jax.Array, Any, Any]:
        (loss, rest), gradients = value_and_grad(parameters, rest, *look(origin, batch))
        return loss, rest, gradients

    def of_batch(parameters: Any, rest: Any, origin: Origin, batch: Batch) -> tuple[jax.Array, Any, Any]:
        def add(carry: Any, part: Batch) -> tuple[Any, None]:
            loss, rest, gradients = of_part(parameters, carry[1], origin, part)
            return (carry[0] + loss / parts, rest, jax.tree.map(lambda a, b: a + b / parts, carry[2], gradients)), None

        nothing = jnp.zeros(()), rest, jax.tree.map(jnp.zeros_like, parameters)
        return jax.lax.scan(add, nothing, batch, unroll=unrolled)[0]

    return of_part if parts == 1 else of_batch
