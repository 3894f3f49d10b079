"""What a backend adds to the hardware benchmark: its ways of multiplying, and what it knows of its device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
class Missing:
    """Something that was not measured, and why."""

    what: str
    reason: str


def _nothing(state: Any) -> None:
    """Everything is over when the call returns."""


@dataclass(frozen=True)
class Hardware:
    """A backend on one device: its kernels, those it lacks, and two questions that only the framework can answer.

    `wait(state)` returns when everything a trainer's state depends on has been computed. `peak_memory` are the most
    bytes of the device's own memory held so far; None: the device computes in the host's.
    """

    kernels: Sequence[Kernel] = ()
    missing: Sequence[Missing] = ()
    wait: Callable[[Any], None] = _nothing
    peak_memory: Callable[[], int | None] = lambda: None


def unknown_hardware(device: str) -> Hardware:
    """For a backend that says nothing of its device."""
    return Hardware()
