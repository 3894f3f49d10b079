"""Digests of a record's files, so that what is read is what was written: `SHA256SUMS`, which `sha256sum -c` reads too.

The list is written last, before the record is flushed and renamed. It has one form, and a file that it does not name
is not read, so damage to the list itself shows as well. Records made before have no list, and are read as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sparsebench import bounded, forms, tensors

NAME = "SHA256SUMS"
LIST = re.compile(rf"(?:[0-9a-f]{{64}}  {forms.NAME}\n)+")
ROOM = 1 << 16
"""Bytes of the longest list that is read."""

Found = TypeVar("Found")
Sums = Mapping[str, str]
"""Name of a file -> its SHA-256, in hexadecimal digits."""


def write(folder: Path) -> None:
    """List the digests of all that is in a folder.

    Raises:
        OSError: it cannot be read or written.
    """
    files = sorted(path for path in folder.iterdir() if path.name != NAME)
    (folder / NAME).write_text("".join(f"{bounded.digest(path)}  {path.name}\n" for path in files))


def read(path: Path) -> Sums | None:
    """The list at `path`; None: there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        return parsed(bounded.own(path, ROOM))
    except FileNotFoundError:
        return None


def parsed(content: bytes) -> Sums:
    """The list that is the content of the file; raises ValueError if it is damaged."""
    text = content.decode("ascii", "replace")
    if not LIST.fullmatch(text):
        raise ValueError(f"{NAME} is damaged")
    return {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}


@dataclass(frozen=True)
class Files:
    """The files of a record by name, each where `find` says it is.

    All methods raise:
        OSError: a file is missing or cannot be read.
        ValueError: it is a link, too large, or not what was written.
    """

    find: Callable[[str], Path]

    @property
    def sums(self) -> Sums | None:
        """The list as it is now."""
        return read(self.find(NAME))

    def has(self, name: str) -> bool:
        """Whether a file is there, or should be."""
        return self.find(name).is_file() or name in (self.sums or ())

    def contents(self, names: Sequence[str], most: int) -> list[bytes]:
        """What is in some of them, of `most` bytes each."""
        return _twice(lambda: self._contents(names, most))

    def _contents(self, names: Sequence[str], most: int) -> list[bytes]:
        found = [bounded.own(self.find(name), most) for name in names]
        sums = self.sums
        for name, content in zip(names, found, strict=True):
            _check(name, hashlib.sha256(content).hexdigest(), sums)
        return found

    def arrays(self, name: str, copies: int = tensors.COPIES) -> tuple[tensors.Arrays, dict[str, str]]:
        """Arrays and the text about them, as `tensors.read` reads them."""
        (content,) = self.contents([name], bounded.room() // copies)
        return tensors.parsed(content, name)

    def verify(self, names: Sequence[str]) -> bool:
        """Hold those of these files that are there, or should be, against their digests; False: there are none."""
        if self.sums is None:
            return False
        for name in filter(self.has, names):
            _twice(lambda name=name: _check(name, bounded.digest(self.find(name)), self.sums))
        return True


def _twice(look: Callable[[], Found]) -> Found:
    """What is found, at a second attempt if need be: `run --again` may just have exchanged the record."""
    try:
        return look()
    except ValueError:
        return look()


def _check(name: str, digest: str, sums: Sums | None) -> None:
    if sums is not None and name not in sums:
        raise ValueError(f"{NAME} has no digest of {name}")
    if sums is not None and sums[name] != digest:
        raise ValueError(f"{name} does not match its digest in {NAME}")
