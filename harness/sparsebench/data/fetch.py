"""The files of a data set, from the first place that has them: the user's folder, the cache, the official address.

Wherever they come from, they are checked before they are used. A download is written aside, checked, and renamed: a
file is there whole or not at all.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from textwrap import shorten
from urllib.error import HTTPError

from sparsebench.aside import aside, sweep
from sparsebench.data.packing import PackedFile, unpacked
from sparsebench.data.tarball import Tarball, unpack
from sparsebench.environment import threads
from sparsebench.errors import UserError

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""

CHUNK = 1 << 20
"""Bytes of a download that are in memory at a time."""


@dataclass(frozen=True)
class Archive:
    """A data set's files; `name` is also that of their folder, which may as well have one of the names `aliases`.

    `address` is where the originals are: it ends in / and the files' names follow, or it is that of the `tarball` with
    all of them, or it is empty: such a data set is never downloaded.
    """

    name: str
    address: str
    files: tuple[PackedFile, ...]
    aliases: tuple[str, ...] = ()
    tarball: Tarball | None = None

    def origin(self, file: PackedFile) -> str:
        """Where the original of a file is, in words."""
        return f"{file.name} of {self.address}" if self.tarball else f"{self.address}{file.name}"


def contents(archive: Archive, folder: Path | None) -> list[bytes]:
    """Every file, uncompressed and checked: from `folder`, else SPARSEBENCH_DATA, else the cache or a download.

    A folder that is named may be the data set's own or hold one for each data set; it must then have all files.

    Raises:
        UserError: files are missing from the folder that was named, or are damaged, or cannot be downloaded or kept.
    """
    place = _named(archive, folder) or _downloaded(archive)
    with ThreadPoolExecutor(min(threads(), len(archive.files))) as pool:  # unpacking and hashing leave Python's lock
        return list(pool.map(partial(_read, archive, place), archive.files))


def located(archive: Archive, folder: Path | None) -> Path | None:
    """Where `contents` would find the files; None where it would download them. Nothing is read or written.

    Raises:
        UserError: files are missing from the folder that was named.
    """
    if place := _named(archive, folder):
        return place
    place = cache() / archive.name
    return None if _missing(archive, place) else place


def verify(archive: Archive, place: Path) -> None:
    """Read every file in the data set's folder, one after another, and check it.

    Raises:
        UserError: one is damaged.
    """
    for file in archive.files:
        _read(archive, place, file)


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
    own = [root / name for name in (archive.name, *archive.aliases) if os.path.isdir(root / name)] or [root]
    place = next((place for place in own if not _missing(archive, place)), own[0])
    if missing := _missing(archive, place):
        raise _incomplete(archive, f"{'--data' if folder else 'SPARSEBENCH_DATA'} names {root}", place, missing)
    return place


def _incomplete(archive: Archive, named: str, place: Path, missing: Sequence[PackedFile]) -> UserError:
    names = ", ".join(file.name for file in missing)
    packings = " or ".join(suffix for suffix in missing[0].suffixes if suffix)
    also = f" (nor with {packings} after the name)" if packings else ""
    remedy = f"get them from {archive.address}, or name no folder to have them downloaded"
    return UserError(
        f"data set {archive.name!r}: {named}, but {place} has no {names}{also}: "
        f"{remedy if archive.address else 'put them there, or name the folder that has them'}"
    )


def _missing(archive: Archive, place: Path) -> list[PackedFile]:
    return [file for file in archive.files if _found(place, file) is None]


def _found(place: Path, file: PackedFile) -> Path | None:
    """Where the file is, under the first of its names that is there."""
    paths = (place / f"{file.name}{suffix}" for suffix in file.suffixes)
    return next((path for path in paths if os.path.exists(path)), None)  # Path's own raises in a forbidden folder


def _read(archive: Archive, place: Path, file: PackedFile) -> bytes:
    path = _found(place, file) or place / file.name
    try:
        return unpacked(file, path)
    except (OSError, ValueError) as error:
        remedy = f"replace it with {archive.origin(file)}" if archive.address else "replace it"
        raise UserError(f"data set {archive.name!r}: {path} cannot be used: {error}; {remedy}") from error


def _downloaded(archive: Archive) -> Path:
    """The data set's folder in the cache, after what it lacked was downloaded."""
    if not archive.address:
        raise UserError(f"data set {archive.name!r} is never downloaded: name the folder that has it with --data")
    place = cache() / archive.name
    missing = _missing(archive, place)
    for files in [missing] if archive.tarball and missing else [[file] for file in missing]:
        _download(archive, files, place)
    return place


def _download(archive: Archive, files: Sequence[PackedFile], place: Path) -> None:
    """Put checked files at `place`; if another process does so at the same time, the later one replaces its like."""
    try:
        sweep(place)
        with aside(place) as folder:
            for new in _received(archive, files, folder):
                new.replace(place / new.name)
    except OSError as error:
        raise UserError(
            f"data set {archive.name!r}: cannot write {place / files[0].name} ({error.strerror or error}): make room "
            "there, or set XDG_CACHE_HOME to a folder that can be written to"
        ) from error


def _received(archive: Archive, files: Sequence[PackedFile], folder: Path) -> list[Path]:
    """The files as they come from one address, checked and on disk: new files in `folder`."""
    url = archive.address if archive.tarball else archive.address + files[0].name
    try:
        if archive.tarball:
            packed = _saved(url, folder / "archive", archive.tarball.size)
            return unpack(archive.tarball, packed, files, folder)
        packed = _saved(url, folder / files[0].name, files[0].limit)
        unpacked(files[0], packed)
    except ValueError as error:
        raise UserError(
            f"data set {archive.name!r}: cannot download {url}: {shorten(str(error), 200).strip('<>')}; try again, or "
            f"put its {len(archive.files)} files in a folder and name that with --data"
        ) from error
    return [packed]


def _saved(url: str, path: Path, limit: int) -> Path:
    """What the server sends, in a new file and on disk when this returns."""
    with path.open("wb") as stream:
        for chunk in _chunks(url, limit):
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    return path


def _chunks(url: str, limit: int) -> Generator[bytes]:
    """What the server sends, chunk by chunk.

    Raises:
        ValueError: it does not serve, or sends more than `limit` bytes.
    """
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - the scheme is the archive's own
            while chunk := response.read(CHUNK):
                received += len(chunk)
                if received > limit:
                    raise ValueError(f"the server sends more than {limit} bytes")
                yield chunk
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise ValueError(str(error)) from error
