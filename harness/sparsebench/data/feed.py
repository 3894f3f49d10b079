"""The order of the data as a pure function of (seed, iteration): a description, not an iterator.

Epoch e visits a permutation drawn from Philox keyed by (seed, e); the last partial batch is dropped. Any
iteration can be asked for at any time, which is what makes exact resuming trivial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sparsebench.replicas import Group, share_of

PURPOSE = 0x64617461  # "data": keeps this stream apart from every other use of the seed
AUGMENTATION = 0x6175676D656E74  # "augment"

Entry = TypeVar("Entry", bound=np.generic)


@dataclass(frozen=True)
class Feed:
    """Which samples iteration i consumes, for every method and backend alike.

    `places` are those of each batch that are seen here, where replicas share it; None: all.
    """

    samples: int
    batch: int
    seed: int
    places: tuple[int, ...] | None = None

    @property
    def batches(self) -> int:
        """Whole batches in one epoch."""
        return self.samples // self.batch

    def shared(self, group: Group, parts: int) -> Feed:
        """What a replica sees: its share of each of the equal parts of a batch, part by part.

        Raises:
            UserError: they cannot be shared equally.
        """
        mine = share_of(self.batch // parts, group)
        places = np.arange(self.batch).reshape(parts, -1)[:, mine]
        return self if group.size == 1 else replace(self, places=tuple(places.ravel().tolist()))

    def indices(self, start: int, stop: int) -> NDArray[np.int32]:
        """Sample indices of iterations start … stop − 1: int32 (stop − start, places)."""
        return self._rows(permutation, start, stop)

    def draws(self, start: int, stop: int) -> NDArray[np.uint64]:
        """A random integer for each place of iterations start … stop − 1: uint64 (stop − start, places).

        What is done to an image follows from it; it has nothing to do with which image is there.
        """
        return self._rows(random_words, start, stop)

    def _rows(self, drawn: Callable[[int, int, int], NDArray[Entry]], start: int, stop: int) -> NDArray[Entry]:
        first, last = start // self.batches, max(-(-stop // self.batches), start // self.batches + 1)
        rows = np.concatenate([self._epoch(drawn, e, start, stop) for e in range(first, last)])
        return rows if self.places is None else rows[:, self.places]

    def _epoch(
        self, drawn: Callable[[int, int, int], NDArray[Entry]], epoch: int, start: int, stop: int
    ) -> NDArray[Entry]:
        first = epoch * self.batches
        rows = drawn(self.seed, epoch, self.samples)[: self.batches * self.batch]
        return rows.reshape(self.batches, self.batch)[max(start - first, 0) : max(stop - first, 0)]


@lru_cache(maxsize=2)  # a segment rarely spans more than two epochs
def permutation(seed: int, epoch: int, samples: int) -> NDArray[np.int32]:
    """The order of one epoch: int32 (samples,), read-only; ranks of keyed random integers, ties by index.

    Philox's raw integers are the same in every version of NumPy; what `Generator` makes of them may change (NEP 19).
    """
    keys = np.random.Philox(key=seed, counter=[0, 0, epoch, PURPOSE]).random_raw(samples)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


@lru_cache(maxsize=2)
def random_words(seed: int, epoch: int, samples: int) -> NDArray[np.uint64]:
    """A random integer for each place of one epoch: uint64 (samples,), read-only."""
    words = np.random.Philox(key=seed, counter=[0, 0, epoch, AUGMENTATION]).random_raw(samples)
    words.flags.writeable = False
    return words
