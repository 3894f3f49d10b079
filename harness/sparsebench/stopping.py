"""Asked by a signal to end, a run first reaches the end of its segment and keeps a checkpoint; asked again, it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Asked = Callable[[], bool]
"""Whether the run is asked to end."""


Handler = Callable[[int, FrameType | None], None]


class Stopped(BaseException):
    """The run has kept its checkpoint and can end."""


@contextmanager
def handled(numbers: Sequence[int], handler: Handler) -> Generator[Callable[[], None]]:
    """In here `handler` handles these signals, until what is yielded is called, which puts back what was there before.

    Signals that are ignored (nohup) stay so; outside the main thread nothing is changed.
    """
    here = threading.current_thread() is threading.main_thread()
    before = {n: was for n in numbers if here and (was := signal.getsignal(n)) not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, was in before.items():
            signal.signal(number, was)

    for number in before:
        signal.signal(number, handler)
    try:
        yield restore
    finally:
        restore()


@contextmanager
def deferred() -> Generator[Asked]:
    """In here the first signal is only noted, and sent again once `Stopped` is raised; a second one acts as before.

    A replica that stops since another one was asked ends as if it had been told SIGTERM.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        restore()

    with handled(SIGNALS, note) as restore:
        try:
            yield lambda: bool(noted)
        except Stopped:
            restore()
            signal.raise_signal(noted[0] if noted else signal.SIGTERM)
            raise
