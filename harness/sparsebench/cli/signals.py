"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is ended, what is half-written is removed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

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
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Ended(number)
