"""The files of a data set, from the first place that has them: the user's folder, the cache, the official address.

Wherever they come from, they are checked against the size and SHA-256 of their uncompressed bytes (mirrors recompress).
A download is checked before anything is written, written aside and renamed: a file is there whole or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import urllib.request
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from textwrap import shorten
from typing import BinaryIO
from urllib.error import HTTPError

from sparsebench.aside import aside, sweep
from sparsebench.errors import UserError

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""


@dataclass(frozen=True)
class PackedFile:
    """A gzip file by the size and SHA-256 of its uncompressed bytes."""

    name: str
    size: int
    sha256: str

    @property
    def limit(self) -> int:
        """Bytes of the largest file worth receiving: data that do not shrink, stored as they are, and a header."""
        return self.size + self.size // 1024 + 1024


@dataclass(frozen=True)
class Archive:
    """A data set's files; `name` is also that of their folder, `address` (ending in /) is where the originals are."""

    name: str
    address: str
    files: tuple[PackedFile, ...]


def contents(archive: Archive, folder: Path | None) -> list[bytes]:
    """Every file, uncompressed and checked: from `folder`, else SPARSEBENCH_DATA, else the cache or a download.

    A folder that is named may be the data set's own or hold one for each data set; it must then have all files.

    Raises:
        UserError: files are missing from the folder that was named, or are damaged, or cannot be downloaded or kept.
    """
    place = _named(archive, folder) or cache() / archive.name
    for file in _missing(archive, place):
        _download(archive, file, place / file.name)
    return [_read(archive, file, place / file.name) for file in archive.files]


def cache() -> Path:
    """The user's cache, where the XDG base directory specification has it; a relative XDG_CACHE_HOME does not count."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (root if root.is_absolute() else Path.home() / ".cache") / "sparsebench"
    except RuntimeError as error:
        raise UserError(f"no cache folder: {error} Set XDG_CACHE_HOME, or name a data folder with --data") from error


def _named(archive: Archive, folder: Path | None) -> Path | None:
    """The folder of this data set that the user named, checked to be complete; None if none is named."""
    given = os.environ.get("SPARSEBENCH_DATA")
    root = folder or (Path(given) if given else None)
    if root is None:
        return None
    place = root / archive.name if os.path.isdir(root / archive.name) else root
    if missing := _missing(archive, place):
        option = "--data" if folder else "SPARSEBENCH_DATA"
        names = ", ".join(file.name for file in missing)
        raise UserError(
            f"data set {archive.name!r}: {option} names {root}, but {place} has no {names}: get them from "
            f"{archive.address}, or name no folder to have them downloaded"
        )
    return place


def _missing(archive: Archive, place: Path) -> list[PackedFile]:
    # Path's own `exists` raises where a folder may not be looked into
    return [file for file in archive.files if not os.path.exists(place / file.name)]


def _read(archive: Archive, file: PackedFile, path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return _unpacked(file, stream)
    except (OSError, ValueError) as error:
        raise UserError(
            f"data set {archive.name!r}: {path} cannot be used: {error}; replace it with {archive.address}{file.name}"
        ) from error


def _unpacked(file: PackedFile, packed: BinaryIO) -> bytes:
    """The uncompressed bytes; never unpacks more than one byte too many.

    Raises:
        ValueError: they are not what the file's size and checksum say.
    """
    try:
        with gzip.open(packed) as stream:
            content = stream.read(file.size + 1)
    except EOFError as error:
        raise ValueError("the file is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"damaged or not gzip ({error})") from error
    if len(content) != file.size:
        given = f"{len(content)}" if len(content) < file.size else f"more than {file.size}"
        raise ValueError(f"{given} bytes uncompressed, expected {file.size}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ValueError(f"SHA-256 of the uncompressed bytes is {digest[:16]}…, expected {file.sha256[:16]}…")
    return content


def _download(archive: Archive, file: PackedFile, path: Path) -> None:
    """Put a checked file at `path`; if another process does so at the same time, the later one replaces its like."""
    try:
        sweep(path.parent)
        with aside(path.parent) as folder:
            new = folder / file.name
            with new.open("wb") as stream:
                stream.write(_received(archive, file))
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(path)
    except OSError as error:
        raise UserError(
            f"data set {archive.name!r}: cannot write {path} ({error.strerror or error}): make room there, or set "
            "XDG_CACHE_HOME to a folder that can be written to"
        ) from error


def _received(archive: Archive, file: PackedFile) -> bytes:
    """The file as the server sends it, checked."""
    url = archive.address + file.name
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - the scheme is the archive's own
            packed: bytes = response.read(file.limit + 1)
        if len(packed) > file.limit:
            raise ValueError(f"the server sends more than {file.limit} bytes")
        _unpacked(file, io.BytesIO(packed))
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise UserError(
            f"data set {archive.name!r}: cannot download {url}: {shorten(str(error), 200).strip('<>')}; try again, or "
            f"put its {len(archive.files)} files in a folder and name that with --data"
        ) from error
    return packed
