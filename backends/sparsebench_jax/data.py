"""Where batches come from: all samples on the device, or images read ahead on the host (see `batches.look`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from sparsebench.data.ahead import Ahead
from sparsebench.data.feed import Feed
from sparsebench.data.source import Split
from sparsebench.data.stream import evaluation
from sparsebench.trainer import Task
from sparsebench_jax.batches import Origin

HostBatch = tuple[NDArray[Any], ...]
Which = Literal["train", "test"]


class Data:
    """What is in memory is moved to the device once for each data set; one stream is read ahead at a time."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._origins: dict[tuple[str, str, str], Origin] = {}
        self._ahead = Ahead()

    def origin(self, task: Task, which: Which) -> Origin:
        """Images and labels of a split in memory, or the table of a streamed one, on the device."""
        key = (task.dataset.fingerprint, task.recipe.standardise, which)
        if key not in self._origins:
            split = getattr(task.dataset, which)
            arrays = (task.pixels(split), split.labels) if isinstance(split, Split) else (task.dataset.table,)
            self._origins[key] = tuple(jnp.array(each, copy=True, device=self.device) for each in arrays)
        return self._origins[key]

    def batch(self, task: Task, feed: Feed, i: int) -> HostBatch:
        """What iteration i takes from the training set's origin."""
        split = task.dataset.train
        if isinstance(split, Split):
            return tuple(each[0] for each in task.places(feed, i, i + 1))
        return self._ahead.batches(split, feed, task.steps, task.augmented).batch(i)

    def evaluation(self, task: Task, which: Which) -> Iterator[tuple[HostBatch, NDArray[np.bool_]]]:
        """(what a batch takes, which of it is real): every sample of a split once; the last batch is padded."""
        split, size = getattr(task.dataset, which), task.evaluation_batch
        places = np.arange(size)
        if isinstance(split, Split):
            count = len(split.labels)
            for first in range(0, count, size):
                yield (np.minimum(first + places, count - 1),), first + places < count
        else:
            for images, labels in evaluation(split, size):
                yield (_repeated(images, size), _repeated(labels, size)), places < len(labels)


def _repeated(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Padded with its last entry."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
