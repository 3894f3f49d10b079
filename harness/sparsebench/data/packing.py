"""A file as it may lie in a folder: plain, in gzip or in xz; what is unpacked is what was expected, or it is refused.

Mirrors recompress, so it is the uncompressed bytes that are checked; never is more than one byte too many unpacked.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import BinaryIO

from sparsebench.errors import UserError

CHUNK = 1 << 16
DICTIONARY = 1 << 28
"""Bytes of memory that unpacking xz may take: four times what its strongest preset asks for."""


@dataclass(frozen=True)
class PackedFile:
    """A file by the size and SHA-256 of its uncompressed bytes; `suffixes` may follow its name, the first is preferred.

    Where nobody published a SHA-256, `size` is the most that is unpacked, and the reader tells what is right.
    """

    name: str
    size: int
    sha256: str | None = None
    suffixes: tuple[str, ...] = ("",)

    @property
    def limit(self) -> int:
        """Bytes of the largest file worth receiving: data that do not shrink, stored as they are, and a header."""
        return self.size + self.size // 1024 + 1024

    def checked(self, content: bytes) -> bytes:
        """The uncompressed bytes, as they were given.

        Raises:
            ValueError: they are not what size and checksum say.
        """
        if len(content) > self.size or (self.sha256 and len(content) < self.size):
            given = f"{len(content)}" if len(content) < self.size else f"more than {self.size}"
            raise ValueError(f"{given} bytes uncompressed, expected {'' if self.sha256 else 'at most '}{self.size}")
        digest = hashlib.sha256(content).hexdigest() if self.sha256 else None
        if digest != self.sha256:
            raise ValueError(f"SHA-256 of the uncompressed bytes is {digest:.16}…, expected {self.sha256:.16}…")
        return content


def unpacked(file: PackedFile, path: Path) -> bytes:
    """The uncompressed bytes of what is at `path`, checked; the end of its name says how it is packed.

    Raises:
        ValueError: it is damaged, or is not this file.
        OSError: it cannot be read.
        UserError: this Python cannot unpack it.
    """
    unpack = UNPACKERS.get(path.suffix, _plain)
    try:
        with path.open("rb") as packed:
            return file.checked(unpack(packed, file.size + 1))
    except EOFError as error:
        raise ValueError("the file is truncated") from error


def _plain(packed: BinaryIO, most: int) -> bytes:
    return packed.read(most)


def _gzip(packed: BinaryIO, most: int) -> bytes:
    try:
        with gzip.open(packed) as stream:
            return stream.read(most)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"damaged or not gzip ({error})") from error


def _xz(packed: BinaryIO, most: int) -> bytes:
    try:
        import lzma  # a Python may have been built without it
    except ImportError as error:
        given = PurePath(packed.name).name
        raise UserError(
            f"{packed.name} cannot be read: this Python was built without lzma ({error}): unpack it (xz -d {given}), "
            "or use a Python that has lzma"
        ) from error
    unpacking, found = lzma.LZMADecompressor(memlimit=DICTIONARY), bytearray()
    try:
        while len(found) < most:
            more = packed.read(CHUNK) if unpacking.needs_input else b""
            if unpacking.eof:
                more = unpacking.unused_data or packed.read(CHUNK)
                if not more:
                    break
                unpacking = lzma.LZMADecompressor(memlimit=DICTIONARY)  # another stream: they are one file
            elif unpacking.needs_input and not more:
                raise EOFError
            found += unpacking.decompress(more, most - len(found))
    except lzma.LZMAError as error:
        limit = "Memory usage limit" in str(error)
        raise ValueError("it asks for too much memory" if limit else f"damaged or not xz ({error})") from error
    return bytes(found)


UNPACKERS: Mapping[str, Callable[[BinaryIO, int], bytes]] = MappingProxyType({".gz": _gzip, ".xz": _xz})
"""By the end of a name: the first bytes, as many as the second argument says, of what was packed."""
