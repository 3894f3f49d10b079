"""What a folder's records say, kept in one file beside them: a board of a thousand runs reads that instead of each.

Records are the truth. An entry counts only while every document of its record is the file that it was read from, by
size, times and number; what it says is checked as a record is, and the file by a digest. What is broken, or of another
version, is as good as nothing, and where nothing can be kept, nothing is.
"""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from pydantic_core import from_json, to_json

from sparsebench import bounded, mistakes, records
from sparsebench.aside import place
from sparsebench.records import BRIEF, DOCUMENTS, Json, Record

NAME = ".index.json"
VERSION = 1
SETTLED = 2_000_000_000
"""Nanoseconds after which a further change to a file shows in its times, however coarse they are."""

Stamp = list[list[int]]
"""Of each of a record's documents: size, time of the last change to its content, and to anything, number."""
Entries = Mapping[str, Any]
"""Name of a record's folder -> {stamp, config, environment, result}, if it is sound."""


def read_all(root: Path) -> list[Record]:
    """Every finished record under `root`.

    Raises:
        UserError: with a line for each record that cannot be read.
    """
    kept = _kept(root)
    found, entries = _read(root, [path.name for path in records.paths(root)], kept)
    _keep(root, kept, entries)
    return found


def read_each(root: Path, names: Iterable[str]) -> list[Record]:
    """The records in the folders of these names under `root`; raises as `read_all` does."""
    kept = _kept(root)
    found, entries = _read(root, names, kept)
    _keep(root, kept, {**kept, **entries})
    return found


def forget(root: Path, names: Iterable[str]) -> None:
    """Keep nothing of the records that were in the folders of these names."""
    kept, gone = _kept(root), set(names)
    _keep(root, kept, {name: entry for name, entry in kept.items() if name not in gone})


def is_broken(root: Path) -> bool:
    """Whether there is an index that nothing can be taken from; one of another version is not broken."""
    try:
        found = _document(root)
        return not isinstance(found["version"], int) or not isinstance(found["entries"], dict)
    except FileNotFoundError:
        return False
    except (OSError, KeyError, TypeError, ValueError):
        return True


def _read(root: Path, names: Iterable[str], kept: Entries) -> tuple[list[Record], Entries]:
    """The records, and an entry for each whose files have settled."""
    now = time.time_ns()
    with _without_pauses():
        found = mistakes.gathered(lambda name: (name, *_one(root / name, kept.get(name))), names)
    entries = {name: entry for name, _, entry in found if _settled(entry["stamp"], now)}
    return [record for _, record, _ in found], entries


def _one(folder: Path, entry: Any) -> tuple[Record, Json]:
    stamp = _stamp(folder)  # before the files are read: what changes meanwhile does not pass for what was read
    with suppress(KeyError, TypeError, ValueError):
        if entry and entry["stamp"] == stamp:
            return _recalled(folder, entry), entry
    record = records.read(folder)
    documents = (record.identity, record.environment, record.result)
    return record, {"stamp": stamp, **dict(zip(BRIEF, documents, strict=True))}


def _recalled(folder: Path, entry: Json) -> Record:
    documents = [entry[name] for name in BRIEF]
    if not all(isinstance(document, dict) for document in documents):
        raise TypeError("an entry holds something else than documents")
    return records.of(folder, *documents)


def _stamp(folder: Path) -> Stamp:
    """Empty where a document is missing."""
    try:
        found = [os.stat(f"{folder}/{name}.json") for name in DOCUMENTS]
    except OSError:
        return []
    return [[each.st_size, each.st_mtime_ns, each.st_ctime_ns, each.st_ino] for each in found]


def _settled(stamp: Stamp, now: int) -> bool:
    return all(max(changed, touched) + SETTLED < now for _, changed, touched, _ in stamp)


# ---- the file -------------------------------------------------------------------------------------------------


def _kept(root: Path) -> Entries:
    try:
        with _without_pauses():
            found = _document(root)
            entries: Any = found["entries"] if found["version"] == VERSION else {}
    except (OSError, KeyError, TypeError, ValueError):
        return {}
    return cast("Entries", entries) if isinstance(entries, dict) else {}


def _document(root: Path) -> Any:
    """What the file says; raises OSError or ValueError where there is none, or something else than was written."""
    digest, _, content = bounded.own(root / NAME, bounded.json_room()).partition(b"\n")
    if digest != _digest(content):
        raise ValueError(f"{NAME} does not match its digest")
    return from_json(content)


def _keep(root: Path, before: Entries, now: Entries) -> None:
    if now != before:
        with suppress(OSError):
            content = to_json({"version": VERSION, "entries": now})
            place(root / NAME, _digest(content) + b"\n" + content)


def _digest(content: bytes) -> bytes:
    """A flipped bit would else pass for what a record says."""
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


@contextmanager
def _without_pauses() -> Generator[None]:
    """Without Python's search for cycles, which finds nothing in so many documents and takes half the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
