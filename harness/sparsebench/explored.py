"""Which connections were ever active in a run: the in-time over-parameterisation rate R_s of its masks.

Source: Liu et al., Do We Actually Need Dense Over-Parameterization?, ICML 2021, arXiv:2102.02887.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.masks import Mask

PREFIX = "explored/"
"""Of the names of its arrays."""


@dataclass
class Explored:
    """The union of the masks that it has seen."""

    seen: dict[str, Mask] = field(default_factory=dict[str, Mask])

    def see(self, masks: Mapping[str, Mask]) -> None:
        """Add the masks of a moment."""
        for name, mask in masks.items():
            self.seen[name] = np.logical_or(self.seen[name], mask) if name in self.seen else mask

    def rate(self) -> float:
        """R_s, the share of all maskable connections that were active at some time; 1 in a run without masks."""
        size = sum(mask.size for mask in self.seen.values())
        return sum(int(np.count_nonzero(mask)) for mask in self.seen.values()) / size if size else 1.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The union as bits, layer by layer, among others of a checkpoint."""
        return {f"{PREFIX}{name}": np.packbits(mask) for name, mask in self.seen.items()}

    def again(self, arrays: Mapping[str, NDArray[Any]]) -> Explored:
        """The union that `arrays` tells, of the layers that this one has seen."""
        return Explored(
            {
                name: np.unpackbits(arrays[f"{PREFIX}{name}"], count=mask.size).reshape(mask.shape).astype(np.bool_)
                for name, mask in self.seen.items()
            }
        )
