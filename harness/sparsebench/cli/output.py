"""Lines on standard output and standard error."""

from __future__ import annotations

import os
import sys

from sparsebench.errors import UserError


def say(line: str) -> None:
    """A line of result.

    Raises:
        BrokenPipeError: nobody reads any more.
        UserError: it cannot be written.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        hush()
        raise UserError(f"standard output cannot be written ({error.strerror}): is there room?") from error


def hush() -> None:
    """Nothing more goes to standard output, not even what Python would flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def note(line: str) -> None:
    """A line about what is going on."""
    sys.stderr.write(f"{_one(line)}\n")
    sys.stderr.flush()


def warn(line: str) -> None:
    """A line about something that does not stop us."""
    sys.stderr.write(f"warning: {_one(line)}\n")


def complain(line: str) -> None:
    """A line about something that went wrong."""
    sys.stderr.write(f"error: {_one(line)}\n")


def _one(text: str) -> str:
    """On one line, and without what would move a terminal's cursor or cannot be encoded."""
    return "".join(character if character.isprintable() else "�" for character in " ".join(text.split()))
