"""A record's documents as tags of its MLflow run: a board of a thousand runs then takes a request for each thousand.

They are the files' own text, compressed, in as many tags as it takes (MLflow cuts what is longer than 8,000 characters,
and its numbers are rounded); the digest of the record says whether they came back whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path

from pydantic_core import from_json

from sparsebench import bounded, records
from sparsebench.reading import document
from sparsebench.records import BRIEF, Record

TAG, DIGEST, RUN = "sparsebench.documents", "sparsebench.record", "sparsebench.run_id"
FORM = b"2"
"""Raised whenever a run is mirrored in another way, so that those mirrored before are made anew."""
ROOM = 5000
"""Characters in one tag; MLflow 2 allowed as many."""

LIMIT = bounded.DOCUMENT
"""Bytes that documents may unpack to."""

Texts = Mapping[str, bytes]
"""The content of each of the files of `BRIEF`."""


def texts(record: Record) -> Texts:
    """The documents of a record as they lie on disk.

    Raises:
        OSError, ValueError: one cannot be read, or is not what was written.
    """
    contents = record.files.contents([f"{name}.json" for name in BRIEF], bounded.document_room())
    return dict(zip(BRIEF, contents, strict=True))


def digest(documents: Texts) -> str:
    """SHA-256 over the documents: another digest is another result."""
    return hashlib.sha256(FORM + b"".join(documents[name] for name in ("result", "config", "environment"))).hexdigest()


def packed(documents: Texts) -> dict[str, str]:
    """The tags that hold the documents: `sparsebench.documents.0`, `.1`, …"""
    text = json.dumps({name: documents[name].decode() for name in BRIEF})
    whole = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return {f"{TAG}.{start // ROOM}": whole[start : start + ROOM] for start in range(0, len(whole), ROOM)}


def unpacked(tags: Mapping[str, str]) -> Texts:
    """What `packed` made tags of, if it came back whole.

    Raises:
        KeyError, TypeError, ValueError, zlib.error: it is not there, or is something else.
    """
    names = takewhile(tags.__contains__, (f"{TAG}.{number}" for number in count()))
    whole = base64.b64decode("".join(tags[name] for name in names), validate=True)
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(whole, LIMIT)
    if not unpacking.eof:
        raise ValueError("they are cut off, or larger than any record's")
    found = from_json(text)
    documents = {name: found[name].encode() for name in BRIEF}
    if digest(documents) != tags[DIGEST]:
        raise ValueError("they are not what was mirrored")
    return documents


def record(documents: Texts, path: Path, find: Callable[[str], Path]) -> Record:
    """The record that has these documents, checked as one on disk; its other files are where `find` says.

    Raises:
        KeyError, TypeError, ValueError: they lack something, or are of another schema.
    """
    identity, environment, result = (document(f"{name}.json", documents[name]) for name in BRIEF)
    return replace(records.of(path, identity, environment, result), find=find)
