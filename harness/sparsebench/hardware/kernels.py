"""What a backend adds to the hardware benchmark: its ways of multiplying, and what it knows of its device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.feed import Feed
from sparsebench.method import Method

Array = NDArray[np.float32]
Pattern = Literal["dense", "unstructured", "block", "2:4"]
Precision = Literal["float32", "float16"]


@dataclass(frozen=True)
class Linears:
    """Linear layers with ReLU between them: h ← W·h + b. `weights` are (out, in), `biases` (out,).

    `block` is the side of the square blocks that hold what is not zero, where the pattern is "block"; else 1.
    """

    weights: Sequence[Array]
    biases: Sequence[Array]
    block: int = 1


@dataclass(frozen=True)
class Bound:
    """A kernel bound to its weights and inputs, all in the layout that it likes best.

    `run` does the work and returns when it is done; `result` is what it made, as (rows, out) on the host.
    """

    run: Callable[[], Any]
    result: Callable[[Any], Array]


@dataclass(frozen=True)
class Kernel:
    """One way of computing linear layers: `bind(layers, inputs)`, inputs (rows, in).

    `pattern` is what it needs of the weights; `precision` is that of operands and result. Binding or running raises
    RuntimeError or ValueError where the installed framework or this shape does not allow it.
    """

    name: str
    pattern: Pattern
    bind: Callable[[Linears, Array], Bound]
    precision: Precision = "float32"


@dataclass(frozen=True)
class Probe:
    """Work that nothing but memory, or nothing but arithmetic, holds up.

    `of` is "memory", or the precision of a matrix product. `bind()` is the work, which is done when it returns, and
    what there is of it: bytes read and written, or operations (a multiplication and an addition are two). It raises
    RuntimeError or ValueError where the device does not have it.
    """

    name: str
    of: str
    bind: Callable[[], tuple[Callable[[], Any], float]]


@dataclass(frozen=True)
class Missing:
    """Something that was not measured, and why."""

    what: str
    reason: str


def _nothing(state: Any) -> None:
    """Everything is over when the call returns."""


def _no_masks(state: Any) -> dict[str, int]:
    return {}


def _untold(trainer: Any, state: Any, method: Method, feed: Feed) -> int | None:
    return None


@dataclass(frozen=True)
class Hardware:
    """A backend on one device: its kernels, those it lacks, probes, and what only the framework can tell.

    `wait(state)` returns when everything a trainer's state depends on has been computed. `peak_memory` are the most
    bytes of the device's own memory held so far; None: the device computes in the host's. `mask_bytes(state)` are those
    of all masks that a state holds, by type of their entries. `step_bytes(trainer, state, method, feed)` are the most
    bytes of arrays that are alive at one time in a training step: the state, gradients, what is kept for them and what
    is in between, but not the data set. It may train a step; None: it cannot be told.
    """

    kernels: Sequence[Kernel] = ()
    missing: Sequence[Missing] = ()
    wait: Callable[[Any], None] = _nothing
    peak_memory: Callable[[], int | None] = lambda: None
    mask_bytes: Callable[[Any], Mapping[str, int]] = _no_masks
    step_bytes: Callable[[Any, Any, Method, Feed], int | None] = _untold
    probes: Sequence[Probe] = ()


def unknown_hardware(device: str) -> Hardware:
    """For a backend that says nothing of its device."""
    return Hardware()
