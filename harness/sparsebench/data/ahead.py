"""Reading ahead for whoever trains one run at a time: the threads of the run before end when another one begins."""

from __future__ import annotations

from sparsebench.data.feed import Feed
from sparsebench.data.stream import Batches, Stream

Run = tuple[Stream, Feed, int, bool]


class Ahead:
    """Batches of the run that asked last."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._batches: Batches | None = None

    def batches(self, split: Stream, feed: Feed, stop: int, augmented: bool) -> Batches:
        """The reader of this run's batches 0 … stop − 1, the same for as long as it is the only one."""
        run = (split, feed, stop, augmented)
        if self._batches is None or self._run != run:
            self.close()
            self._run, self._batches = run, Batches(split, feed, stop, augmented)
        return self._batches

    def close(self) -> None:
        """End the threads of the run that asked last, if any did."""
        if self._batches is not None:
            self._batches.close()
        self._run = self._batches = None
