"""What a store is known to hold, noted beside the records: a command with nothing to mirror need not ask the store.

A note may be lost, or wrong after somebody emptied the store; then records are mirrored again, which changes nothing,
or not before `sparsebench ui`, which asks the store itself.

Where a record is removed, its note stays as `REMOVED` until its image is gone too, for the store may be away just then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from sparsebench.aside import place
from sparsebench.records import Record
from sparsebench_board.entries import digest
from sparsebench_board.tracking import is_there

NAME = ".mirrored.json"

REMOVED = ""
"""Instead of a digest: what the store holds of this record is to go."""

Notes = dict[str, dict[str, str]]
"""Hash of a store's address (which may hold a password) -> record -> digest."""


def pending(records: Iterable[Record], uri: str, folder: Path) -> list[Record]:
    """Those of the records in `folder` that the store is not known to hold as they are."""
    noted = _notes(folder).get(_store(uri), {}) if is_there(uri) else {}
    return [record for record in records if noted.get(record.id) != digest(record)]


def note(records: Sequence[Record], uri: str, folder: Path) -> None:
    """Note that the store holds these records."""
    notes = _notes(folder)
    notes[_store(uri)] = notes.get(_store(uri), {}) | {record.id: digest(record) for record in records}
    place(folder / NAME, json.dumps(notes).encode())


def remove(records: Iterable[str], uri: str, folder: Path) -> None:
    """Note that images of these records are to go, from the store at `uri` and from every other that has them.

    Raises:
        OSError: it cannot be noted.
    """
    gone, notes = list(records), _notes(folder)
    for store, held in notes.items():
        held |= {record: REMOVED for record in gone if record in held or store == _store(uri)}
    if is_there(uri):
        notes.setdefault(_store(uri), dict.fromkeys(gone, REMOVED))
    if notes:
        place(folder / NAME, json.dumps(notes).encode())


def owed(uri: str, folder: Path) -> list[str]:
    """The records whose images are to go from the store; one that is recorded again will replace its own."""
    noted = _notes(folder).get(_store(uri), {}) if is_there(uri) else {}
    return sorted(id for id, digest in noted.items() if digest == REMOVED and not (folder / id).is_dir())


def settle(records: Iterable[str], uri: str, folder: Path) -> None:
    """Note that the store holds nothing of these records.

    Raises:
        OSError: it cannot be noted.
    """
    gone, notes = set(records), _notes(folder)
    held = notes.get(_store(uri), {})
    notes[_store(uri)] = {record: digest for record, digest in held.items() if record not in gone}
    place(folder / NAME, json.dumps(notes).encode())


def _notes(folder: Path) -> Notes:
    try:
        found = json.loads((folder / NAME).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _store(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:16]
