"""Batches on the host, as every network sees them: for a backend that has no faster way to its data.

Pixels are the same to the bit on every backend: normalised by the data set's table, then only gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.ahead import Ahead
from sparsebench.data.feed import Feed
from sparsebench.data.source import Split
from sparsebench.data.stream import evaluation
from sparsebench.trainer import Task

Batch = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Images (samples, channels, height, width) and labels (samples,)."""
Which = Literal["train", "test"]


class HostData:
    """A split in memory is normalised once for each data set; one stream is read ahead at a time."""

    def __init__(self) -> None:
        self._pixels: dict[tuple[str, str, Which], NDArray[np.float32]] = {}
        self._ahead = Ahead()

    def parts(self, task: Task, feed: Feed, i: int) -> list[Batch]:
        """Batch i of the training set, cropped and flipped if the recipe says so, in its `accumulation` equal parts."""
        images, labels = self._batch(task, feed, i)
        parts = task.recipe.accumulation
        return list(zip(np.split(images, parts), np.split(labels, parts), strict=True))

    def evaluation(self, task: Task, which: Which) -> Iterator[Batch]:
        """Every sample of a split once, in order, as it is; the last batch may be shorter."""
        split, size = getattr(task.dataset, which), task.evaluation_batch
        if isinstance(split, Split):
            pixels = self._placed(task, which, split)
            for first in range(0, len(pixels), size):
                yield pixels[first : first + size], split.labels[first : first + size]
        else:
            for images, labels in evaluation(split, size):
                yield _looked_up(images, task.dataset.table), labels

    def close(self) -> None:
        """End the threads that read ahead."""
        self._ahead.close()

    def _batch(self, task: Task, feed: Feed, i: int) -> Batch:
        split = task.dataset.train
        if isinstance(split, Split):
            index, *window = (each[0] for each in task.places(feed, i, i + 1))
            return _view(self._placed(task, "train", split)[index], *window), split.labels[index]
        images, labels = self._ahead.batches(split, feed, task.steps, task.augmented).batch(i)
        return _looked_up(images, task.dataset.table), labels

    def _placed(self, task: Task, which: Which, split: Split) -> NDArray[np.float32]:
        key = (task.dataset.fingerprint, task.recipe.standardise, which)
        if key not in self._pixels:
            self._pixels[key] = task.pixels(split)
        return self._pixels[key]


def _looked_up(images: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    return table[images, np.arange(table.shape[1])[:, None, None]]


def _view(
    images: NDArray[np.float32], rows: NDArray[np.int32] | None = None, columns: NDArray[np.int32] | None = None
) -> NDArray[np.float32]:
    """The given rows (samples, height) and columns (samples, width) of each image."""
    if rows is None or columns is None:
        return images
    samples, channels = np.ogrid[: images.shape[0], : images.shape[1]]
    return images[samples[..., None, None], channels[..., None, None], rows[:, None, :, None], columns[:, None, None]]
