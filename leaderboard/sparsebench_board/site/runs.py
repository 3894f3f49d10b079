"""The runs of a cell on its page, and the files of their records: small ones are copied, so that the site is whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sparsebench.records import FILES, MOVEMENT, REWIND, Record
from sparsebench_board import labels

COPIED = 2**18
"""Bytes of a text file that is copied, at most."""
TEXTS = frozenset({".json", ".jsonl"})


@dataclass(frozen=True)
class File:
    """A file of a record; `address` leads to it from the page, `copy` is where the site has it, if at all."""

    name: str
    size: str
    path: Path
    address: str
    copy: str


@dataclass(frozen=True)
class Run:
    """A line of the table of seeds: texts with what to sort by."""

    id: str
    numbers: tuple[tuple[str, float | None], ...]
    finished: str
    files: tuple[File, ...]


def run(record: Record, page: str, site: Path) -> Run:
    """A record on the page `cells/PAGE.html` of the site in this folder."""
    result = record.result
    training, seconds = result.get("training_ratio"), result["seconds"]["total"]
    reached = None if record.diverged else (result["accuracy"], result["loss"])
    numbers = (
        (str(record.config.seed), record.config.seed),
        *((f"{100 * reached[0]:.2f}", reached[0]) if reached else ("diverged", None),),
        *((f"{reached[1]:.4f}", reached[1]) if reached else ("–", None),),
        (labels.ratio(training), training),
        (labels.pace(result["steps_per_second"]), result["steps_per_second"]),
        (labels.speed(seconds), seconds),
    )
    return Run(record.id, numbers, _moment(str(result.get("finished", ""))), tuple(files(record, page, site)))


def _moment(text: str) -> str:
    """`2026-11-25 14:08`, in UTC, as records have it."""
    return text[:16].replace("T", " ")


def files(record: Record, page: str, site: Path) -> list[File]:
    """Those that a record has; of one that would have to be fetched, texts alone.

    Raises:
        UserError: a text cannot be fetched.
    """
    if record.find:
        return [_file(record, name, page, site) for name in FILES if _is_text(name)]
    return [_file(record, name, page, site) for name in (*FILES, REWIND, MOVEMENT) if (record.path / name).is_file()]


def _is_text(name: str) -> bool:
    return Path(name).suffix in TEXTS


def _file(record: Record, name: str, page: str, site: Path) -> File:
    path = record.file(name)
    size = path.stat().st_size
    own = f"{page}/seed{record.config.seed}/{name}"
    copied = _is_text(name) and size <= COPIED
    address = own if copied else _from(site / "cells", path, site)
    return File(path.stem, labels.amount(size, "B"), path, address, f"cells/{own}" if copied else "")


def _from(folder: Path, path: Path, site: Path) -> str:
    """The way from a folder of the site to a file beside the site; empty for one that lies elsewhere."""
    target, beside = path.absolute(), site.absolute().parent
    return quote(os.path.relpath(target, folder.absolute())) if target.is_relative_to(beside) else ""
