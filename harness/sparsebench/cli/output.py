"""Lines on standard output and standard error."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """A line of result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """A line about something that does not stop us."""
    sys.stderr.write(f"warning: {_one(line)}\n")


def complain(line: str) -> None:
    """A line about something that went wrong."""
    sys.stderr.write(f"error: {_one(line)}\n")


def _one(text: str) -> str:
    return " ".join(text.split())
