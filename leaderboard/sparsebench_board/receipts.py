"""What a store is known to hold, noted beside the records: a command with nothing to mirror need not ask the store.

A note may be lost, or wrong after somebody emptied the store; then records are mirrored again, which changes nothing,
or not before `sparsebench ui`, which asks the store itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic_core import from_json

from sparsebench import bounded
from sparsebench.aside import place
from sparsebench.records import Record
from sparsebench_board.entries import digest
from sparsebench_board.tracking import is_there

NAME = ".mirrored.json"

Notes = dict[str, dict[str, str]]
"""Hash of a store's address (which may hold a password) -> record -> digest."""


def pending(records: Iterable[Record], uri: str, folder: Path) -> list[Record]:
    """Those of the records in `folder` that the store is not known to hold as they are."""
    noted = _notes(folder).get(_store(uri), {}) if is_there(uri) else {}
    return [record for record in records if noted.get(record.id) != _digest(record)]


def _digest(record: Record) -> str:
    try:
        return digest(record)
    except (OSError, ValueError):  # the mirror says what is the matter with it
        return ""


def note(records: Sequence[Record], uri: str, folder: Path) -> None:
    """Note that the store holds these records."""
    notes = _notes(folder)
    notes[_store(uri)] = notes.get(_store(uri), {}) | {record.id: digest(record) for record in records}
    place(folder / NAME, json.dumps(notes).encode())


def _notes(folder: Path) -> Notes:
    try:
        found = from_json(bounded.own(folder / NAME, bounded.json_room()))
    except (OSError, ValueError):
        return {}
    whole = isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values())
    return found if whole else {}


def _store(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:16]
