"""MLflow: can its store be reached and written, is its schema ours, and does it hold every record?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from sparsebench import index, plugins
from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.doctor.isolated import asked
from sparsebench.errors import UserError
from sparsebench.printing import command
from sparsebench.worker import Failed, Report

PATIENCE = 5.0
WAIT = "start it, or end what locks it; records are complete, and `sparsebench ui` mirrors them then"


def usable(place: Place) -> Iterable[Finding]:
    """The store that records are mirrored to, asked in a process of its own."""
    from sparsebench_board import receipts, tracking

    uri, _ = tracking.default_store(place.records)
    shown = tracking.shown(uri)
    if not plugins.installed("mlflow"):
        yield warning("MLflow is not installed: nothing is mirrored", "pip install 'sparsebench[board]'")
        return
    if not tracking.is_there(uri):
        yield ok(f"no store yet: the first run makes {shown}")
        return
    if refused := _refused(Path(uri.removeprefix(tracking.SQLITE))) if tracking.is_local(uri) else None:
        yield refused
        return
    end = asked(_held, {"store": uri})["store"]
    if isinstance(end, Failed):
        yield problem(*_refusal(shown, end.reason))
        return
    yield ok(f"store {shown} answers")
    yield from _complete(end.result, place.records)
    if owed := receipts.owed(uri, place.records):
        yield warning(f"{len(owed)} runs that were removed are still in MLflow", _mirrored(place.records))


def _refused(path: Path) -> Finding | None:
    """What keeps a database file from being asked: MLflow would make tables in it where there are none."""
    if not os.access(path, os.W_OK):
        return problem(f"MLflow store {path} cannot be written to", "give yourself the right to write that file")
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, timeout=PATIENCE, uri=True)) as database:
            made = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    except sqlite3.OperationalError as error:
        return problem(f"MLflow store {path} cannot be read ({error})", WAIT)
    except sqlite3.DatabaseError as error:
        return problem(
            f"MLflow store {path} is damaged ({error})", "move that file away: `sparsebench ui` makes it anew"
        )
    return None if made else ok(f"store {path} is empty: the next run fills it")


def _refusal(shown: str, reason: str) -> tuple[str, str]:
    """What is wrong with the store, and what to do about it."""
    if "db upgrade" in reason:
        return (
            f"MLflow store {shown} is of an older MLflow",
            f"keep a copy of it, then: {command('mlflow', 'db', 'upgrade', shown)}",
        )
    return reason if shown in reason else f"MLflow store {shown}: {reason}", WAIT


def _held(uri: str, report: Report) -> dict[str, str]:
    """The digest of each record that the store holds whole."""
    from sparsebench_board.documents import DIGEST, RUN
    from sparsebench_board.entries import KIND
    from sparsebench_board.shelf import all_runs, is_finished
    from sparsebench_board.tracking import EXPERIMENT, connect

    client = connect(uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    runs = all_runs(client, found.experiment_id) if found else ()
    return {
        run.data.tags[RUN]: run.data.tags.get(DIGEST, "")
        for run in runs
        if run.data.tags.get(KIND) == "run" and is_finished(run)
    }


def _complete(held: dict[str, str], records: Path) -> Iterator[Finding]:
    from sparsebench_board.entries import digest

    found = list(_records(records))
    missing = [record for record in found if held.get(record.id) != digest(record)]
    if missing:
        yield warning(f"MLflow lacks {len(missing)} of {len(found)} records, or has older ones", _mirrored(records))
    elif found:
        yield ok(f"it holds all {len(found)} records")


def _records(root: Path) -> Iterator[index.Record]:
    """Those that can be read; of the others, another check tells."""
    from sparsebench import records as store

    for path in store.paths(root):
        try:
            yield store.read(path)
        except UserError:
            continue


def _mirrored(records: Path) -> str:
    from sparsebench.cli.options import with_records

    return f"{with_records('sparsebench ui', records)} mirrors what is missing"
