"""A data set that is published as one gzipped tar: the wanted members are read by name and written under our own names.

Nothing is extracted to a path that the archive gives, and its bytes are checked before it is opened.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsebench.data.packing import PackedFile


@dataclass(frozen=True)
class Tarball:
    """The archive by its size and SHA-256; its files are members of the folder `folder`."""

    size: int
    sha256: str
    folder: str

    def check(self, path: Path) -> None:
        """Pass if this archive, whole, is at `path`.

        Raises:
            ValueError: it is not.
        """
        if (size := path.stat().st_size) != self.size:
            raise ValueError(f"{size} bytes, expected {self.size}")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != self.sha256:
            raise ValueError(f"its SHA-256 is {digest:.16}…, expected {self.sha256:.16}…")


def unpack(tarball: Tarball, path: Path, files: Sequence[PackedFile], folder: Path) -> list[Path]:
    """The files out of the archive at `path`, checked and on disk: new files in `folder`.

    Raises:
        ValueError: the archive is damaged or not the right one, or a member is missing, no file, or not as expected.
        OSError: they cannot be written.
    """
    tarball.check(path)
    try:
        return list(_members(tarball.folder, path, files, folder))
    except EOFError as error:
        raise ValueError("the archive is truncated") from error
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"damaged or not a gzipped tar ({error})") from error


def _members(inside: str, path: Path, files: Sequence[PackedFile], folder: Path) -> Generator[Path]:
    wanted = {f"{inside}/{file.name}": file for file in files}
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        while wanted and (member := archive.next()):
            if file := wanted.pop(member.name, None):
                yield written(folder / file.name, _content(archive, member, file))
    if wanted:
        raise ValueError(f"it has no member {', '.join(wanted)}")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, file: PackedFile) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None  # a link could lead to another member
    if stream is None:
        raise ValueError(f"its member {member.name} is no regular file")
    try:
        return file.checked(stream.read(file.size + 1))
    except ValueError as error:
        raise ValueError(f"its member {member.name} cannot be used: {error}") from error


def written(path: Path, content: bytes) -> Path:
    """A new file, on disk when this returns."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return path
