"""`sparsebench import RECORDS`: take in records that were made on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import records as store
from sparsebench.cli import board
from sparsebench.cli.options import RUNS, MLflow, Records, check_readable, check_writable, with_records
from sparsebench.cli.output import say
from sparsebench.cli.work import recorded
from sparsebench.errors import UserError
from sparsebench.hardware import documents


def importing(
    source: Annotated[Path, Parameter(name="RECORDS", help="folder of records made elsewhere")],
    /,
    *,
    records: Records = RUNS,
    mlflow: MLflow = True,
) -> None:
    """Copy the records and hardware documents that are missing here, then mirror them. Again, it changes nothing.

    Every one is read before the first is copied; one that is damaged stops the import.
    """
    check_readable(source, "give the one that holds them")
    check_writable(records)
    found, measured = [_sound(record) for record in store.read_all(source)], documents.paths(source)
    for path in measured:
        documents.read(path)
    if not found and not measured:
        raise UserError(f"no records in {source}: give the folder that holds them, such as {RUNS}")
    missing = [record for record in found if not recorded(records, record.id)]
    for record in missing:
        store.copy(record, records)
    say(f"{len(found)} records read, {len(missing)} new, {len(found) - len(missing)} were here")
    taken = sum(documents.take_in(path, records) for path in measured)
    if measured:
        say(f"{len(measured)} hardware documents read, {taken} new, {len(measured) - taken} were here")
    if mlflow:
        board.mirror_pending(board.read(records, [record.id for record in found]), records)
        board.mirror_hardware(documents.paths(records) if taken else [], records)
    say(f"next: {with_records('sparsebench leaderboard', records)}")


def _sound(record: store.Record) -> store.Record:
    """The record, if the rest of it can be read too, is what was written, and is what its name says."""
    if record.path.name != record.id:
        raise UserError(f"record {record.path} holds the run {record.id}: rename the folder to that")
    record.events()
    record.masks()
    record.weights()
    record.movement()
    record.verify()
    return record
