"""Files that others wrote, read whole: regular files only, and never more than was said to be enough.

Sizes are looked at before memory is taken. A file that grows while it is read is cut, and then damaged.
"""

from __future__ import annotations

import hashlib
import os
import resource
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

DOCUMENT = 1 << 26
"""Bytes of the largest document that is read: 64 MiB, a thousand times what a large network's take."""
SPREAD = 28
"""Bytes that a byte of JSON may become: objects without a name in them, of which 63 MB take 1.76 GB."""
GROUPS = {
    "/sys/fs/cgroup/memory.max": "memory.current",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "memory.usage_in_bytes",
}
"""A container's limit, and beside it what it has taken."""


class TooLargeError(ValueError):
    """A file is larger than what is read; where that is a share of the memory that is free, it may be read later."""


def content(path: Path, most: int) -> bytes:
    """What is in a file.

    Raises:
        OSError: it cannot be read.
        TooLargeError: it is larger than `most` bytes.
        ValueError: it is no regular file: a pipe would be waited for, a device has no end.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise TooLargeError(f"{path.name} has {size:,} bytes, which is more than the {most:,} that are read")
        return file.read(size)


@contextmanager
def _opened(path: Path) -> Generator[BufferedReader]:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path.name} is no regular file")
        yield file


def own(path: Path, most: int) -> bytes:
    """What is in a file that belongs to a folder: the same, but never through a link, which may lead out of it."""
    _refuse_link(path)
    return content(path, most)


def digest(path: Path) -> str:
    """SHA-256 of such a file, however large, in hexadecimal digits; raises as `own` does."""
    _refuse_link(path)
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path) -> None:
    """Look whether `own` would read a file of any size; raises as it does."""
    _refuse_link(path)
    with _opened(path):
        pass


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise ValueError(f"{path.name} is a link, which may lead anywhere: put the file itself there")


def json_room() -> int:
    """Bytes of the longest list of events that there is memory for."""
    return room() // SPREAD


def document_room() -> int:
    """Bytes of the largest document that is read: `DOCUMENT`, or what there is memory for."""
    return min(DOCUMENT, json_room())


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
    for limit, taken in GROUPS.items():
        with suppress(OSError, ValueError):  # it says "max" where there is no limit
            yield int(Path(limit).read_text()) - int(Path(limit).with_name(taken).read_text())
