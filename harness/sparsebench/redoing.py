"""Runs that are to be done again although they are recorded: the record stays until the new one takes its place.

    .again/ID    a mark, there until that run has been done again: what an interrupted attempt still has to do
    .before/ID   the record that was replaced; it stays only where the new one came out differently

A mark is what makes the runner train a run that has its record. Whatever ends a process, the run's folder holds one
whole record, the old one or the new.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

AGAIN, BEFORE = ".again", ".before"
HERE, EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of renameat2(2)."""


def is_due(root: Path, id: str) -> bool:
    """Whether a run is to be trained: it has no record, or is to be done again."""
    return not (root / id / "result.json").is_file() or is_marked(root, id)


def is_marked(root: Path, id: str) -> bool:
    """Whether a run is to be done again."""
    return (root / AGAIN / id).is_file()


def marked(root: Path) -> list[str]:
    """The runs that are to be done again, by id."""
    folder = root / AGAIN
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def mark(root: Path, ids: Iterable[str]) -> None:
    """These runs are to be done again.

    Raises:
        OSError: it cannot be noted.
    """
    (root / AGAIN).mkdir(parents=True, exist_ok=True)
    for id in ids:
        (root / AGAIN / id).touch()


def unmark(root: Path, id: str) -> None:
    """A run has been done again, or is not to be."""
    (root / AGAIN / id).unlink(missing_ok=True)
    with suppress(OSError):  # there are others, or somebody was faster
        (root / AGAIN).rmdir()


def before(root: Path, id: str) -> Path:
    """Where the record is that was replaced, if it is kept."""
    return root / BEFORE / id


def replace(folder: Path, target: Path) -> None:
    """Put a whole new record at `target`, and what was there, if anything was, where `before` says.

    Raises:
        OSError: it cannot be done; the old record is still there.
    """
    root, id = target.parent, target.name
    if not target.exists():
        folder.rename(target)
    else:
        kept = before(root, id)
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
        _exchange(kept, target)
    unmark(root, id)


def drop(root: Path, id: str) -> None:
    """Keep nothing of the record that was replaced."""
    shutil.rmtree(before(root, id), ignore_errors=True)
    tidy(root)


def tidy(root: Path) -> None:
    """No folder stays that holds no replaced record."""
    with suppress(OSError):
        (root / BEFORE).rmdir()


def _exchange(first: Path, second: Path) -> None:
    """Two folders change places: in one step where the system can, else in three renames."""
    if not _exchanged(first, second):
        third = first.with_name(f".{first.name}")
        second.rename(third)
        first.rename(second)
        third.rename(first)


def _exchanged(first: Path, second: Path) -> bool:
    try:
        call = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):  # not Linux, or a C library without it
        return False
    return call(HERE, os.fsencode(first), HERE, os.fsencode(second), EXCHANGE) == 0
