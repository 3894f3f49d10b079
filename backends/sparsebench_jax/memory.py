"""What a step holds, in bytes, as XLA planned it for the very program that trains; the same on every device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax

from sparsebench.data.feed import Feed
from sparsebench.method import Method
from sparsebench_jax.trainer import JaxState, JaxTrainer


def step_bytes(trainer: JaxTrainer, state: JaxState, method: Method, feed: Feed) -> int | None:
    """Arguments, results and what is in between, but not the data set; a result in an argument's place counts once."""
    plan: Any = trainer.lowered(state, method, feed).compile().memory_analysis()
    if plan is None:
        return None
    origin = sum(array.nbytes for array in trainer.origin(state.task))
    held = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return held + plan.temp_size_in_bytes - origin


def mask_bytes(state: JaxState) -> Mapping[str, int]:
    """Of everything that masks are kept in, by type."""
    found: Counter[str] = Counter()
    for mask in jax.tree.leaves(state.masks):
        found[str(mask.dtype)] += mask.nbytes
    return found
