"""Records and checkpoints by their bytes, for nodes that do not see the folder they are in: packed there, placed here.

What arrives is placed as it would be written: aside, flushed and renamed, so that it is there whole or not at all; a
record is read before. Nothing but the files of a record and of a checkpoint is sent or taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sparsebench import checkpoints, records, seals
from sparsebench.aside import aside, flush
from sparsebench.errors import UserError

Parcel = Mapping[str, bytes]
"""What is in files, by their paths in the folder of records."""

OF_RECORDS = frozenset((*records.ALL, seals.NAME))
OF_CHECKPOINTS = frozenset((checkpoints.PROGRESS, *(f"{part}.safetensors" for part in checkpoints.PARTS)))


def record(root: Path, id: str) -> dict[str, bytes]:
    """The files of a run's record; none if it has none."""
    if not (root / id / "result.json").is_file():
        return {}
    return {f"{id}/{path.name}": path.read_bytes() for path in records.read(root / id).own()}


def checkpoint(root: Path, id: str, but: str = "") -> dict[str, bytes]:
    """The files of a run's newest checkpoint; none if it has none, or it is the one in the folder `but`."""
    place = checkpoints.folder(root, id)
    try:
        newest = max((path for path in place.iterdir() if path.name.isdigit()), default=None)
        if newest is None or newest.relative_to(root).as_posix() == but:
            return {}
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(newest.iterdir())}
    except OSError:  # there is none, or a newer one has taken its place: next time
        return {}


def unpack(parcel: Parcel, root: Path) -> None:
    """Place records and checkpoints; what is already there stays, and a run that is recorded keeps no checkpoint.

    Raises:
        UserError: a record cannot be read, or nothing can be written.
    """
    folders: dict[PurePosixPath, dict[str, bytes]] = {}
    for name, content in parcel.items():
        path = PurePosixPath(name)
        folders.setdefault(path.parent, {})[path.name] = content
    for folder, files in folders.items():
        _place(folder, files, root)


def _place(folder: PurePosixPath, files: Parcel, root: Path) -> None:
    match folder.parts:
        case (id,):
            fits = OF_RECORDS.issuperset(files)
        case (checkpoints.FOLDER, id, done):
            fits = OF_CHECKPOINTS.issuperset(files) and done.isdigit()
        case _:
            id, fits = "", False
    if not (fits and records.NAME.fullmatch(id)):
        raise UserError(f"a worker sends {folder}, which is no record and no checkpoint: is it of another version?")
    try:
        with aside((root / folder).parent) as new:
            for name, content in files.items():
                (new / name).write_bytes(content)
            if len(folder.parts) == 1:
                _take_in(new, root, id)
            elif not (root / folder).exists():
                flush(new)
                new.rename(root / folder)
                checkpoints.thin(root / folder.parent)
    except OSError as error:
        raise UserError(
            f"what a worker sends cannot be written to {root} ({error.strerror}): is there room?"
        ) from error


def _take_in(new: Path, root: Path, id: str) -> None:
    found = records.read(new)
    if found.id != id:
        raise UserError(f"a worker sends the record of {found.id} as that of {id}: is it of another version?")
    records.copy(found, root)
    checkpoints.remove(root, id)
    with suppress(OSError):  # there are those of other runs, or none
        (root / checkpoints.FOLDER).rmdir()
