"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is ended, what is half-written is removed."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from sparsebench.stopping import handled

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.code = 128 + number  # as shells have it


@contextmanager
def as_exceptions() -> Generator[None]:
    """In here the signals raise `Ended`, but for those that are ignored (nohup) and outside the main thread."""
    with handled(SIGNALS, _raise):
        yield


def _raise(number: int, frame: FrameType | None) -> None:
    raise Ended(number)
