"""Several commands on one folder: what one is making is not in the way of another, nor taken for rubbish.

New folders are written aside and renamed into place when complete. Their writer holds a lock that ends with its
process, whatever ends it; what is there without its lock was left by a process that was killed, and is swept away.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".partial-"
AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB
"""A lock now, or none."""


@contextmanager
def aside(root: Path) -> Generator[Path]:
    """A new folder in `root`, for what will be renamed out of it or into place; nothing of it is left behind.

    Raises:
        OSError: it cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder, lock = _locked_folder(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def flush(folder: Path) -> None:
    """Force a folder's files to disk, so that a rename never shows what a crash could still take away."""
    for path in (*folder.iterdir(), folder):
        flush_folder(path)


def flush_folder(path: Path) -> None:
    """Force a folder's own entries to disk, renamed ones too, but not what is in them; or a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Remove the folders whose writer is no more; what cannot be removed or is not known stays."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is gone, or somebody is writing it
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, AT_ONCE)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def discard(folder: Path, root: Path) -> None:
    """Remove a folder below `root`: it is there whole, or gone, whatever ends the process.

    It is renamed first, to a name of those that are swept away; nothing new has to be written, where a disk is full.

    Raises:
        OSError: it cannot be removed, and is as it was.
    """
    rubbish = root / f"{PREFIX}removed-{folder.parent.name.lstrip('.')}-{folder.name}"
    shutil.rmtree(rubbish, ignore_errors=True)
    folder.rename(rubbish)
    shutil.rmtree(rubbish, ignore_errors=True)


def _locked_folder(root: Path) -> tuple[Path, int]:
    """A folder and the descriptor that holds its lock; one that was swept before it was locked is made anew."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        with suppress(FileNotFoundError):
            lock = _locked(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Wait until nobody else is in such a block for this folder."""
    lock = _locked(folder)
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def alone_in(folder: Path, how: int = fcntl.LOCK_EX) -> Generator[None]:
    """The same for a folder that is made where it is missing, and removed afterwards if nothing is in it.

    `how` may be `AT_ONCE`, for those who would rather not wait.

    Raises:
        BlockingIOError: somebody is in such a block, and it is not to be waited for.
        OSError: it cannot be made.
    """
    lock = _locked_place(folder, how)
    try:
        yield
    finally:
        for place in (folder, folder.parent):
            with suppress(OSError):  # there is something in it, or somebody has removed it
                place.rmdir()
        os.close(lock)


def _locked_place(folder: Path, how: int) -> int:
    """The descriptor that holds the lock of this folder; one that was removed before it was locked is made anew."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            lock = _locked(folder, how)
            if folder.exists():
                return lock
            os.close(lock)


def _locked(folder: Path, how: int = fcntl.LOCK_EX) -> int:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # a pipe of that name would be waited for
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:  # a file system without locks: nobody sweeps there, and nobody waits
        return lock
    return lock


def is_held(folder: Path) -> bool:
    """Whether somebody is in a block for this folder, or writing it."""
    try:
        os.close(_locked(folder, fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except OSError:  # it is gone, or not ours to open
        return False
    return False


def place(path: Path, content: bytes) -> None:
    """Write a file of which others see the old content or the new one, and nothing between.

    Raises:
        OSError: it cannot be written; the old content is still there.
    """
    place_all(path.parent, [(path.name, content)])


def place_all(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """The same for files of one folder, by their names in it: the first takes its place when all are written.

    Raises:
        OSError: one of them cannot be written; then nothing has changed.
    """
    with aside(folder) as new:
        names = [_written(new, name, content) for name, content in files]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(new / name, folder / name)


def _written(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def put(files: Mapping[Path, bytes]) -> None:
    """Write files where somebody wants them, in folders that are there: all of a folder, or none.

    Through a link its target is written, and a device or a pipe takes what comes.

    Raises:
        OSError: one of them cannot be written, or is a folder.
    """
    folders: dict[Path, dict[str, bytes]] = {}
    for path, content in files.items():
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            os.stat(target.parent)  # it is not made
            folders.setdefault(target.parent, {})[target.name] = content
    for folder, contents in folders.items():
        place_all(folder, contents.items())
