"""The order of the data as a pure function of (seed, iteration): a description, not an iterator.

Epoch e visits a permutation drawn from Philox keyed by (seed, e); the last partial batch is dropped. Any
iteration can be asked for at any time, which is what makes exact resuming trivial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PURPOSE = 0x64617461  # "data": keeps this stream apart from every other use of the seed


@dataclass(frozen=True)
class Feed:
    """Which samples iteration i consumes, for every method and backend alike."""

    samples: int
    batch: int
    seed: int

    @property
    def batches(self) -> int:
        """Whole batches in one epoch."""
        return self.samples // self.batch

    def indices(self, start: int, stop: int) -> NDArray[np.int32]:
        """Sample indices of iterations start … stop − 1: int32 (stop − start, batch)."""
        parts = [self._epoch(e, start, stop) for e in range(start // self.batches, -(-stop // self.batches))]
        return np.concatenate(parts) if parts else np.empty((0, self.batch), np.int32)

    def _epoch(self, epoch: int, start: int, stop: int) -> NDArray[np.int32]:
        first = epoch * self.batches
        rows = permutation(self.seed, epoch, self.samples)[: self.batches * self.batch]
        return rows.reshape(self.batches, self.batch)[max(start - first, 0) : stop - first]


@lru_cache(maxsize=2)  # a segment rarely spans more than two epochs
def permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int32]:
    """The order of one epoch: int32 (samples,), read-only; ranks of keyed random integers, ties by index.

    Philox's raw integers are the same in every version of NumPy; what `Generator` makes of them may change (NEP 19).
    """
    keys = np.random.Philox(key=seed, counter=[0, 0, epoch, PURPOSE]).random_raw(samples)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order
