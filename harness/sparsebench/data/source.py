"""What a data set is to the harness: uint8 pixels, in memory or in files, integer labels, and a fingerprint of both."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.stream import Digest, Stream

if TYPE_CHECKING:
    from sparsebench.data.fetch import Archive


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (samples, channels, height, width); `labels`: int32 (samples,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def identify(self, digest: Digest) -> None:
        """Give every pixel and label to a digest."""
        for array in (self.images, self.labels):
            _identify(array, digest)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples; `table` maps a uint8 pixel to its normalised float32: (256, channels).

    The table is made once, in NumPy, so that normalised pixels are identical to the bit on every backend.
    """

    name: str
    classes: int
    train: Split | Stream
    test: Split | Stream
    table: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.train.shape

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the normalisation and what identifies each split, as 64 hex digits.

        In memory that is all pixels and labels. Of files it is names and sizes, not the contents, which may be hundreds
        of gigabytes: pixels that change and leave the size in bytes as it was go unnoticed.
        """
        digest = hashlib.sha256()
        _identify(self.table, digest)
        self.train.identify(digest)
        self.test.identify(digest)
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """A data set that can be loaded: `load(folder)` looks in the user's data folder first (None: none given).

    `archive` are the files that it is loaded from, where `sparsebench.data.fetch` finds them.
    """

    name: str
    summary: str
    load: Callable[[Path | None], Dataset]
    archive: Archive | None = None


def normalised(split: Split, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels through the table: float32 of the images' shape."""
    channels = np.arange(int(table.shape[1])).reshape(-1, 1, 1)
    return table[split.images, channels]


def standardised(split: Split) -> NDArray[np.float32]:
    """Each image by the mean and deviation of all its own values: (p − mean) / max(deviation, 1/√n), float32.

    Source: TensorFlow's `tf.image.per_image_standardization`, which the RigL code uses for CIFAR-10.
    """
    result = np.empty(split.images.shape, np.float32)
    for first in range(0, len(result), 1024):
        pixels = split.images[first : first + 1024].astype(np.float64)
        count, axes = math.prod(pixels.shape[1:]), (1, 2, 3)
        total, squares = pixels.sum(axes, keepdims=True), np.square(pixels).sum(axes, keepdims=True)  # exact: integers
        deviation = np.sqrt(count * squares - np.square(total)) / count
        result[first : first + 1024] = (pixels - total / count) / np.maximum(deviation, 1 / math.sqrt(count))
    return result


def standardising_table(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(256, channels): (p − mean) / deviation per channel, moments over all pixels of `images`, in float64.

    A channel of one value has no deviation: it is centred only.
    """
    values = np.arange(256.0)
    columns = [(values - mean) / (deviation or 1.0) for mean, deviation in moments(images)]
    return np.stack(columns, axis=1).astype(np.float32)


def moments(images: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Mean and deviation of each channel over all pixels of `images`, in units of a pixel's value (0 … 255)."""
    return [_moments(_histogram(images[:, channel])) for channel in range(images.shape[1])]


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and deviation of a histogram: exact integers until the last step, hence the same on every machine."""
    total, first, second = (sum(value**k * count for value, count in enumerate(counts)) for k in range(3))
    return first / total, math.sqrt(total * second - first**2) / total


def _histogram(pixels: NDArray[np.uint8]) -> list[int]:
    """How often each value occurs; in blocks, since `bincount` widens all it is given to eight bytes."""
    blocks = np.array_split(pixels, 1 + len(pixels) // 1024)
    return np.sum([np.bincount(block.ravel(), minlength=256) for block in blocks], axis=0).tolist()


def _identify(array: NDArray[Any], digest: Digest) -> None:
    digest.update(repr((array.dtype.str, array.shape)).encode())
    digest.update(np.ascontiguousarray(array).data)
