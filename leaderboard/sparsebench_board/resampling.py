"""Seeds drawn again with replacement: all ways where they are few, a fixed draw of many ways where they are not."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 9_999
GENERATOR = 20_200_713
"""Fixed: the same seeds make the same interval and the same chances, whenever and wherever."""


@cache
def draws(count: int) -> NDArray[Any]:
    """(resamples, count) places among `count` seeds: each of the countⁿ ways once, or `RESAMPLES` of them at random."""
    if count**count <= RESAMPLES:
        return np.array(list(product(range(count), repeat=count)))
    return np.random.default_rng(GENERATOR).integers(count, size=(RESAMPLES, count))
