"""Where batches come from: all samples on each device, or images read ahead on the host (see `batches.look`).

A process gives only what its own devices take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.ahead import Ahead
from sparsebench.data.feed import Feed
from sparsebench.data.source import Split
from sparsebench.data.stream import Stream, evaluation
from sparsebench.replicas import Alone
from sparsebench.trainer import Task
from sparsebench_jax.batches import Origin
from sparsebench_jax.placement import Placement

HostBatch = tuple[NDArray[Any], ...]
Which = Literal["train", "test"]


class Data:
    """What is in memory is moved to the device once for each data set; one stream is read ahead at a time."""

    def __init__(self, place: Placement) -> None:
        self.place = place
        self._origins: dict[tuple[str, str, str], Origin] = {}
        self._ahead = Ahead()

    def origin(self, task: Task, which: Which) -> Origin:
        """Images and labels of a split in memory, or the table of a streamed one, on each device."""
        key = (task.dataset.fingerprint, task.recipe.standardise, which)
        if key not in self._origins:
            split = getattr(task.dataset, which)
            arrays = (task.pixels(split), split.labels) if isinstance(split, Split) else (task.dataset.table,)
            self._origins[key] = tuple(map(self.place.kept, arrays))
        return self._origins[key]

    def batches(self, task: Task, feed: Feed, start: int, stop: int) -> HostBatch:
        """What iterations start … stop − 1 take from a training set in memory, each (stop − start, …)."""
        parts = task.recipe.accumulation
        return tuple(_in_parts(each, parts, 1) for each in task.places(self._own(task, feed), start, stop))

    def batch(self, task: Task, feed: Feed, i: int) -> HostBatch:
        """What iteration i takes from the training set's origin."""
        split = task.dataset.train
        if isinstance(split, Split):
            return tuple(each[0] for each in self.batches(task, feed, i, i + 1))
        ahead = self._ahead.batches(split, self._own(task, feed), task.steps, task.augmented)
        return tuple(_in_parts(each, task.recipe.accumulation, 0) for each in ahead.batch(i))

    def _own(self, task: Task, feed: Feed) -> Feed:
        return feed.shared(Alone(self.place.rank, self.place.processes), task.recipe.accumulation)

    def evaluation(self, task: Task, which: Which) -> Iterator[tuple[HostBatch, NDArray[np.bool_]]]:
        """(what a batch takes, which of it is real): every sample of a split once; the last batch is padded."""
        split, size = getattr(task.dataset, which), self.place.padded(task.evaluation_batch)
        places, count = np.arange(size)[self.place.part(size)], len(split.labels)
        rows = [np.minimum(first + places, count - 1) for first in range(0, count, size)]
        real = [first + places < count for first in range(0, count, size)]
        if isinstance(split, Split):
            yield from (((each,), counts) for each, counts in zip(rows, real, strict=True))
        else:
            own = np.concatenate([each[: max(counts.sum(), 1)] for each, counts in zip(rows, real, strict=True)])
            for batch, counts in zip(evaluation(_taken(split, own), len(places)), real, strict=True):
                yield tuple(_repeated(each, len(places)) for each in batch), counts


def _in_parts(array: NDArray[Any], parts: int, axis: int) -> NDArray[Any]:
    """With an axis for the parts before that of the samples, if there are several."""
    shape = array.shape
    return array if parts == 1 else array.reshape(*shape[:axis], parts, -1, *shape[axis + 1 :])


def _taken(split: Stream, rows: NDArray[np.int64]) -> Stream:
    return replace(split, paths=tuple(split.paths[row] for row in rows), labels=split.labels[rows])


def _repeated(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Padded with its last entry."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
