"""Runs that are to be done again although they are recorded: the record stays until the new one takes its place.

    .again/ID    a mark, there until that run has been done again and compared: what an interrupted attempt has left
    .before/ID   the record that was replaced; it stays where the new one came out differently. Further ones: ID+2, …

A mark is what makes the runner train a run that has its record. It holds that record's digest, and the swap is over
when such a record lies in `.before`. Whatever ends a process, the run's folder holds one whole record, the old one or
the new, and nothing is deleted that differs from the record in place.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sparsebench import bounded, checkpoints
from sparsebench.aside import AT_ONCE, alone_in, discard, flush_folder

AGAIN, BEFORE = ".again", ".before"
HERE, EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2)."""
RESULT = "result.json"
"""Its presence makes a folder a record."""


def is_due(root: Path, id: str) -> bool:
    """Whether a run is to be trained: it has no record, or is to be done again and has not been yet."""
    return not (root / id / RESULT).is_file() or (is_marked(root, id) and not _is_exchanged(root, id))


def _is_exchanged(root: Path, id: str) -> bool:
    """Whether the record that was there when the run was marked has been replaced."""
    try:
        digest = (root / AGAIN / id).read_text()
    except FileNotFoundError:  # somebody was faster
        return True
    return bool(digest) and digest != _digest(root / id) and digest in map(_digest, kept(root, id))


def _digest(record: Path) -> str:
    """Tells a record from another of the same run, by what it took to the microsecond; empty: it cannot be read."""
    try:
        return bounded.digest(record / RESULT)
    except (OSError, ValueError):
        return ""


def is_marked(root: Path, id: str) -> bool:
    """Whether a run is to be done again."""
    return (root / AGAIN / id).is_file()


def marked(root: Path) -> list[str]:
    """The runs that are to be done again, by id."""
    folder = root / AGAIN
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def mark(root: Path, ids: Iterable[str]) -> None:
    """These runs are to be done again, from the start: not from checkpoints that are left of their records' own making.

    Raises:
        OSError: it cannot be noted.
    """
    (root / AGAIN).mkdir(parents=True, exist_ok=True)
    for id in ids:
        if not is_marked(root, id):
            with suppress(BlockingIOError):  # who trains it now removes them
                _forget(root, id)
            (root / AGAIN / id).write_text(_digest(root / id))


def sweep(root: Path) -> None:
    """Remove checkpoints of runs that are not to be trained: their process was killed when it had recorded them."""
    for place in (root / checkpoints.FOLDER).glob("*"):
        with suppress(OSError):  # somebody trains it, or may not be disturbed
            _forget(root, place.name)


def _forget(root: Path, id: str) -> None:
    place = checkpoints.folder(root, id)
    if place.is_dir():
        with alone_in(place, AT_ONCE):
            if not is_due(root, id):
                shutil.rmtree(place)


def unmark(root: Path, id: str) -> None:
    """A run has been done again, or is not to be."""
    (root / AGAIN / id).unlink(missing_ok=True)
    with suppress(OSError):  # there are others, or somebody was faster
        (root / AGAIN).rmdir()


def before(root: Path, id: str, count: int = 1) -> Path:
    """Where a record is that was replaced, if it is kept: the first one, or a further one."""
    return root / BEFORE / (id if count == 1 else f"{id}+{count}")


def run_of(kept: Path) -> str:
    """The id of the run that a replaced record is of."""
    return kept.name.partition("+")[0]


def kept(root: Path, id: str) -> list[Path]:
    """The records that were replaced and are kept, by name."""
    folder = root / BEFORE
    return sorted(path for path in folder.iterdir() if run_of(path) == id) if folder.is_dir() else []


def replace(folder: Path, target: Path) -> None:
    """Put a whole new record at `target`, and what was there, if anything was, where `before` says; the mark stays.

    In one step where the system can. Else a kill between the two leaves the old record in `before`, and no other.

    Raises:
        OSError: it cannot be done; the old record is still there.
    """
    root, id = target.parent, target.name
    if not target.exists():
        folder.rename(target)
        return
    (root / BEFORE).mkdir(exist_ok=True)
    new = _free(root, id)
    folder.rename(new)
    if not _exchanged(new, target):
        target.rename(_free(root, id))
        new.rename(target)
    flush_folder(root / BEFORE)


def _free(root: Path, id: str) -> Path:
    return next(path for count in itertools.count(1) if not (path := before(root, id, count)).exists())


def drop(root: Path, records: Iterable[Path]) -> None:
    """Keep these replaced records no longer, where they can be removed."""
    for path in records:
        with suppress(OSError):
            discard(path, root)
    tidy(root)


def tidy(root: Path) -> None:
    """No folder stays that holds no replaced record."""
    with suppress(OSError):
        (root / BEFORE).rmdir()


def _exchanged(first: Path, second: Path) -> bool:
    try:
        call = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):  # not Linux, or a C library without it
        return False
    return call(HERE, os.fsencode(first), HERE, os.fsencode(second), EXCHANGE) == 0
