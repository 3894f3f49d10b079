"""`sparsebench import RECORDS`: take in records that were made on another machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from safetensors import safe_open

from sparsebench import records as store
from sparsebench.cli import board
from sparsebench.cli.options import RUNS, Records, check_readable, check_writable, with_records
from sparsebench.cli.output import say
from sparsebench.cli.work import recorded
from sparsebench.errors import UserError


def importing(
    source: Annotated[Path, Parameter(name="RECORDS", help="folder of records made elsewhere")],
    /,
    *,
    records: Records = RUNS,
    mlflow: Annotated[bool, Parameter(help="mirror them to MLflow")] = True,
) -> None:
    """Copy the records that are missing here, then mirror all of them. Doing it again changes nothing.

    Every record is read before the first is copied; one that is damaged stops the import.
    """
    check_readable(source)
    check_writable(records)
    found = [_sound(record) for record in store.read_all(source)]
    if not found:
        raise UserError(f"no records in {source}: give the folder that holds them, such as {RUNS}")
    missing = [record for record in found if not recorded(records, record.id)]
    for record in missing:
        _copy(record.path, records)
    say(f"{len(found)} records read, {len(missing)} new, {len(found) - len(missing)} were here")
    if mlflow:
        board.mirror(board.read(records, [record.id for record in found]), records)
    say(f"next: {with_records('sparsebench leaderboard', records)}")


def _sound(record: store.Record) -> store.Record:
    """The record, if the rest of it can be read too and it is what its name says."""
    if record.path.name != record.id:
        raise UserError(f"record {record.path} holds the run {record.id}: rename the folder to that")
    try:
        record.events()
        store.read_masks(record.path)
        safe_open(record.path / "weights.safetensors", framework="numpy")
    except Exception as error:  # safetensors has its own errors, which share no base
        raise UserError(f"record {record.path} is damaged ({error}): copy it again, or remove it") from error
    return record


def _copy(source: Path, records: Path) -> None:
    """Aside, then into place, so that it is there whole or not at all."""
    records.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=store.PARTIAL, dir=records))
    try:
        shutil.copytree(source, aside / source.name)
        (aside / source.name).rename(records / source.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
