"""Documents of the hardware benchmark as files, one for each run of it: RECORDS/hardware/<UTC>_<device>.json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from sparsebench import mistakes
from sparsebench.aside import alone, aside, flush
from sparsebench.errors import UserError
from sparsebench.hardware.schema import LONGEST, Document

FOLDER = "hardware"
"""In the folder of records."""
LARGEST = 16 * 2**20
"""Bytes of a file that are read, at most: a hundred times what all models in all backends take."""
MANY, TOLD = 100, 400
"""Mistakes that are looked at, and characters of one that are told."""


def made(parts: Mapping[str, Any]) -> Document:
    """The document of these parts; in texts, which others have written, what cannot be printed becomes spaces."""
    return Document.model_validate_json(json.dumps(_cleaned(parts)))


def text(document: Document) -> str:
    """The document as JSON."""
    return json.dumps(document.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)


# ---- reading --------------------------------------------------------------------------------------------------


def paths(records: Path) -> list[Path]:
    """The documents in a folder of records, the oldest first; what is being written is passed over."""
    return sorted(path for path in (records / FOLDER).glob("*.json") if not path.name.startswith("."))


def read(path: Path) -> Document:
    """The document in one file.

    Raises:
        UserError: there is none, or it is damaged, too large or of another schema.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Document, bytes]:
    """The document and the bytes that it was in; raises as `read` does."""
    try:
        if not path.is_file():
            raise UserError(f"no hardware document at {path}: `sparsebench bench` writes some")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        return Document.model_validate_json(content), content
    except OSError as error:
        reason = str(error.strerror)
    except ValidationError as error:
        reason = _first(error)
    except ValueError as error:
        reason = str(error)
    raise UserError(
        f"hardware document {path} cannot be read ({printable(reason)}): remove it, or measure again with "
        "`sparsebench bench`"
    )


def _first(error: ValidationError) -> str:
    """The first of the mistakes; of very many, which take long to tell, only their number."""
    if (number := error.error_count()) > MANY:
        return f"{number:,} things in it are not as they should be"
    mistake = error.errors(include_url=False)[0]
    if mistake["type"] == "json_invalid":
        return mistake["msg"]
    first, *others = mistakes.lines(error, Document, mistakes.dotted)
    return first[:TOLD] + (f", and {len(others)} more" if others else "")


# ---- writing --------------------------------------------------------------------------------------------------


def write(document: Document, records: Path) -> Path:
    """Put the document among the records; it is there whole or not at all, and nothing is overwritten.

    Raises:
        UserError: it cannot be written.
    """
    return _put((text(document) + "\n").encode(), records, _name(document))


def take_in(path: Path, records: Path) -> bool:
    """Put a document that was made elsewhere among the records, unless it is there.

    Raises:
        UserError: it cannot be read or written.
    """
    document, content = _read(path)
    if any(known.read_bytes() == content for known in paths(records)):
        return False
    _put(content, records, _name(document))
    return True


def _put(content: bytes, records: Path, name: str) -> Path:
    folder = records / FOLDER
    try:
        with aside(records) as new:
            (new / name).write_bytes(content)
            flush(new)
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):
                path = _free(folder, name)
                os.rename(new / name, path)
    except OSError as error:
        raise UserError(f"{folder}: the hardware document cannot be written ({error}): is there room?") from error
    return path


def _free(folder: Path, name: str) -> Path:
    """The name, or with a number the first that nobody has."""
    tries = (folder / f"{name}{f'-{k}' if k > 1 else ''}.json" for k in count(1))
    return next(path for path in tries if not path.exists())


def _name(document: Document) -> str:
    """`2026-11-25T14-01-17Z_amd-epyc`."""
    moment = datetime.fromisoformat(document.machine.started).astimezone(UTC)
    device = re.sub(r"[^a-z0-9]+", "-", document.machine.name.lower()).strip("-")[:40].strip("-")
    return f"{moment:%Y-%m-%dT%H-%M-%SZ}_{device or document.machine.device}"


# ---- texts ----------------------------------------------------------------------------------------------------


def printable(told: str) -> str:
    """Spaces for what would not be seen, or would move a terminal's cursor; cut where it is too long."""
    return "".join(character if character.isprintable() else " " for character in told[:LONGEST])


def _cleaned(value: Any) -> Any:
    """The same with printable texts, keys too."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _cleaned(entry) for key, entry in cast("Mapping[Any, Any]", value).items()}
    return [_cleaned(entry) for entry in cast("Sequence[Any]", value)] if isinstance(value, Sequence) else value
