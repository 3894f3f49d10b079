"""Where a method's functions are checked: small layers, and an array namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.layers import Layer
from sparsebench.method import Method

if TYPE_CHECKING:
    pass

LAYERS: Mapping[str, Layer] = {
    layer.name: layer
    for layer in (
        Layer("fc", (8, 12), "linear", 96),
        Layer("conv", (8, 4, 3, 3), "conv", 288),
    )
}
"""Few, because JAX compiles once for each."""


@dataclass(frozen=True)
class Functions:
    """A method's functions in one array namespace."""

    method: Method
    name: str
