"""Asked by a signal to end, a run first reaches the end of its segment and keeps a checkpoint; asked again, it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Asked = Callable[[], bool]
"""Whether the run is asked to end."""


class Stopped(BaseException):
    """The run has kept its checkpoint and can end."""


@contextmanager
def deferred() -> Generator[Asked]:
    """In here the first signal is only noted, and sent again once `Stopped` is raised; a second one acts as before.

    Signals that are ignored stay so; outside the main thread nothing is changed.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: object) -> None:
        noted.append(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(noted)
    except Stopped:
        restore()
        signal.raise_signal(noted[0])
        raise
    finally:
        restore()
