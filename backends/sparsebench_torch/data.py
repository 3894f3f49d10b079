"""Batches on a device: gathered from memory there, or read ahead on the host and normalised there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsebench.data.ahead import Ahead
from sparsebench.data.feed import Feed
from sparsebench.data.source import Split
from sparsebench.data.stream import Batches, evaluation
from sparsebench.trainer import Task

Part = tuple[Tensor, Tensor]
"""Normalised images and int64 labels of a batch, or of one of the equal parts that make it."""
Which = Literal["train", "test"]
BLOCK = 128
"""Batches whose places are moved to the device together."""


class Data:
    """What is in memory is moved to the device once for each data set; one stream is read ahead at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._splits: dict[tuple[str, str, str], Part] = {}
        self._ahead = Ahead()

    def batches(self, task: Task, feed: Feed, start: int, stop: int) -> Iterator[Iterable[Part]]:
        """Batches start … stop − 1 of the training set, each as its equal parts."""
        split = task.dataset.train
        if isinstance(split, Split):
            return self._gathered(task, feed, start, stop)
        reader = self._ahead.batches(split, feed, task.steps, task.augmented)
        return self._read(task, reader, range(start, stop))

    def origin(self, task: Task) -> Part | None:
        """All of the training set on the device, normalised; None: it is streamed."""
        split = task.dataset.train
        return self._placed(task, "train", split) if isinstance(split, Split) else None

    def evaluation(self, task: Task, which: Which, every: slice = slice(None)) -> Iterator[Part]:
        """Every sample of a split once, in order, as it is; only `every` of those batches, if others see the rest."""
        split, size = getattr(task.dataset, which), task.evaluation_batch
        if isinstance(split, Split):
            images, labels = self._placed(task, which, split)
            yield from zip(images.split(size)[every], labels.split(size)[every], strict=True)
        else:
            table = torch.from_numpy(task.dataset.table).to(self.device)
            for images, labels in evaluation(split, size, every=every):
                yield self._normalised(images, labels, table)

    def _gathered(self, task: Task, feed: Feed, start: int, stop: int) -> Iterator[Iterable[Part]]:
        origin, count = self.origin(task), task.recipe.accumulation
        if origin is None:
            raise AssertionError("streamed data are not gathered")
        for first in range(start, stop, BLOCK):
            drawn = (each.astype(np.int64) for each in task.places(feed, first, min(first + BLOCK, stop)))
            for batch in zip(*(sent(each, self.device) for each in drawn), strict=True):
                yield parts(origin, batch, count)

    def _read(self, task: Task, reader: Batches, iterations: range) -> Iterator[Iterable[Part]]:
        table, count = torch.from_numpy(task.dataset.table).to(self.device), task.recipe.accumulation
        for i in iterations:
            images, labels = reader.batch(i)
            split = zip(np.split(images, count), np.split(labels, count), strict=True)
            yield (self._normalised(*part, table) for part in split)

    def _normalised(self, images: NDArray[np.uint8], labels: NDArray[np.int32], table: Tensor) -> Part:
        """A gather: arithmetic on the device would not be the same on every backend."""
        pixels = torch.from_numpy(images).to(self.device).int()
        channels = torch.arange(table.shape[1], device=self.device).view(-1, 1, 1)
        return table[pixels, channels], torch.from_numpy(labels).to(self.device).long()

    def _placed(self, task: Task, which: Which, split: Split) -> Part:
        key = (task.dataset.fingerprint, task.recipe.standardise, which)
        if key not in self._splits:
            images = torch.from_numpy(task.pixels(split)).to(self.device)
            self._splits[key] = images, torch.from_numpy(split.labels).to(self.device).long()
        return self._splits[key]


def parts(origin: Part, places: Sequence[Tensor], count: int) -> Iterable[Part]:
    """The equal parts of the batch at these places (samples; rows and columns where they are augmented)."""
    if count == 1:
        return (_taken(origin, *places),)
    return (_taken(origin, *part) for part in zip(*(each.chunk(count) for each in places), strict=True))


def _taken(origin: Part, index: Tensor, *window: Tensor) -> Part:
    images, labels = origin
    return _view(images[index], *window), labels[index]


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device, without waiting for it; on the CPU the same memory."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _view(images: Tensor, rows: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
    """The given rows (batch, height) and columns (batch, width) of each image."""
    if rows is None or columns is None:
        return images
    height, width = images.shape[2:]
    flat = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    seen = images.flatten(2).gather(2, flat[:, None].expand(-1, images.shape[1], -1))
    return seen.unflatten(2, (height, width))
