"""How much of the host's memory this process holds, in bytes; None where the system does not say."""

from __future__ import annotations

from pathlib import Path


def resident() -> int | None:
    """Now."""
    return _status("VmRSS")


def peak_resident() -> int | None:
    """At most, since the process began. Not `getrusage`: on Linux that starts from the parent's peak."""
    return _status("VmHWM")


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if line.startswith(f"{key}:"))
    return next((int(words[1]) * 1024 for words in found), None)
