"""Lines on standard output and standard error, which steer no terminal whatever names are in them.

Of replicas the first one speaks; an error is told by whoever has it.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

from sparsebench.errors import UserError
from sparsebench.launch import launched, speaks
from sparsebench.printing import printable, printable_lines


def say(line: str) -> None:
    """A line of result, or several.

    Raises:
        BrokenPipeError: nobody reads any more.
        UserError: it cannot be written.
    """
    put(printable_lines(line))


def put(rendered: str) -> None:
    """What a `Terminal` has rendered, whose styling is ours; raises as `say` does."""
    if not speaks():
        return
    try:
        sys.stdout.write(f"{rendered}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        hush()
        raise UserError(f"standard output cannot be written ({error.strerror}): is there room?") from error


def prepare_streams() -> None:
    """Streams take whatever is told: what their encoding lacks is escaped, and one that is closed drops it."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hush() -> None:
    """Nothing more goes to standard output, not even what Python would flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def note(line: str) -> None:
    """A line about what is going on."""
    if speaks():
        sys.stderr.write(f"{_one(line)}\n")
        sys.stderr.flush()


def warn(line: str) -> None:
    """A line about something that does not stop us."""
    if speaks():
        sys.stderr.write(f"warning: {_one(line)}\n")


def complain(line: str) -> None:
    """A line about something that went wrong."""
    launch = None if speaks() else launched()
    with suppress(OSError):  # nobody can be told, and the exit code still says it
        sys.stderr.write(f"error: {f'replica {launch.rank}: ' if launch else ''}{_one(line)}\n")
        sys.stderr.flush()


def ask(question: str) -> None:
    """A question that is answered on the same line."""
    sys.stderr.write(f"{_one(question)} ")
    sys.stderr.flush()


def _one(text: str) -> str:
    return printable(" ".join(text.split()))
