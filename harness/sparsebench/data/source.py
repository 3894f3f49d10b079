"""What a data set is to the harness: uint8 pixels and integer labels in memory, and a fingerprint of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (samples, channels, height, width); `labels`: int32 (samples,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples; `table` maps a uint8 pixel to its normalised float32: (256, channels).

    The table is made once, in NumPy, so that normalised pixels are identical to the bit on every backend.
    """

    name: str
    classes: int
    train: Split
    test: Split
    table: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all pixels, labels and the normalisation, as 64 hex digits."""
        digest = hashlib.sha256()
        for array in (self.table, *_arrays(self.train), *_arrays(self.test)):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """A data set that can be loaded: `load(folder)` looks in the user's data folder first (None: none given)."""

    name: str
    summary: str
    load: Callable[[Path | None], Dataset]


def normalised(split: Split, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels through the table: float32 of the images' shape."""
    channels = np.arange(table.shape[1])[:, None, None]
    return table[split.images, channels]


def standardising_table(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(256, channels): (p − mean) / deviation per channel, moments in float64 over all pixels of `images`."""
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])], axis=1)
    values = np.arange(256.0)[:, None]
    total = counts.sum(axis=0)
    mean = (values * counts).sum(axis=0) / total
    deviation = np.sqrt(((values - mean) ** 2 * counts).sum(axis=0) / total)
    return ((values - mean) / deviation).astype(np.float32)


def _arrays(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    return split.images, split.labels
