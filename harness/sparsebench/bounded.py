"""Files that others wrote, read whole: regular files only, and never more than was said to be enough.

Sizes are looked at before memory is taken. A file that grows while it is read is cut, and then damaged.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DOCUMENT = 1 << 26
"""Bytes of the largest document that is read: 64 MiB, a thousand times what a large network's take."""
SPREAD = 16
"""Bytes that a byte of JSON may become."""
GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def content(path: Path, most: int) -> bytes:
    """What is in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `most` bytes, or no regular file: a pipe would be waited for, a device has no end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path.name} is no regular file")
        if found.st_size > most:
            raise ValueError(f"{path.name} has {found.st_size:,} bytes, which is more than the {most:,} that are read")
        return file.read(found.st_size)


def own(path: Path, most: int) -> bytes:
    """What is in a file that belongs to a folder: the same, but never through a link, which may lead out of it."""
    if path.is_symlink():
        raise ValueError(f"{path.name} is a link, which may lead anywhere: put the file itself there")
    return content(path, most)


def json_room() -> int:
    """Bytes of the longest list of events that there is memory for."""
    return room() // SPREAD


def room() -> int:
    """Bytes of memory that this process could still take, as far as the system says."""
    return max(0, min(_limits()))


def _limits() -> Iterator[int]:
    yield 1 << 40
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(OSError, ValueError, IndexError):
        if soft != resource.RLIM_INFINITY:
            yield soft - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        yield from (1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    for group in GROUPS:
        with suppress(OSError, ValueError):  # it says "max" where there is no limit
            yield int(Path(group).read_text())
