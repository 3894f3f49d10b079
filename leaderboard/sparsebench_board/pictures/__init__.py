"""Pictures of run records as SVG, one module for each kind; matplotlib is imported when one is drawn, and not before.

Drawn for white paper: readable in black and white and by people who cannot tell red from green, and the same file from
the same records.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sparsebench_board.pictures import curves, flops, frameworks, layers, matrix, movement, overlap, sparsity
from sparsebench_board.pictures.kind import Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            flops.TRAINING, flops.INFERENCE, sparsity.KIND, matrix.KIND, layers.KIND, movement.KIND, frameworks.KIND,
            overlap.KIND, curves.KIND,
        )
    }
)  # fmt: skip
"""Every kind of picture by its name, in the order in which a page shows them."""
