"""MLflow to records: what a store holds of runs that were mirrored to it, read back and checked as files are.

The documents of each run are in its tags (`documents`); its other files are fetched when they are asked for.
"""

from __future__ import annotations

import atexit
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sparsebench import mistakes
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import documents
from sparsebench_board.entries import KIND
from sparsebench_board.shelf import all_runs, is_finished
from sparsebench_board.tracking import EXPERIMENT, check_answer, connect, is_there, line, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DAMAGED = (KeyError, TypeError, ValueError, zlib.error)


def read_all(uri: str) -> list[Record]:
    """Every finished run that was mirrored to the store at `uri`, each record once, by id.

    Raises:
        UserError: the store cannot be read, or with a line for each reason why runs cannot; or MLflow is not installed.
    """
    found: dict[str, Record] = {}
    damaged: defaultdict[str, list[Run]] = defaultdict(list)
    for client, run in _runs(uri):
        try:
            record = record_of(client, run)
        except DAMAGED as error:
            damaged[f"it lacks {error}" if isinstance(error, KeyError) else line(error)].append(run)
        else:
            found.setdefault(record.id, record)
    mistakes.refuse([_told(runs, reason) for reason, runs in damaged.items()])
    return [found[id] for id in sorted(found)]


def _runs(uri: str) -> Iterator[tuple[MlflowClient, Run]]:
    """The finished children, the newest first."""
    if not is_there(uri):
        raise UserError(f"MLflow store {shown(uri)} is not there: `sparsebench run quick` makes one beside its records")
    try:
        client = connect(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        for run in all_runs(client, experiment.experiment_id) if experiment else ():
            if run.data.tags.get(KIND) == "run" and is_finished(run):
                yield client, run
    except UserError:
        raise
    except Exception as error:  # stores raise what they like
        raise UserError(f"MLflow store {shown(uri)} cannot be read ({line(error)})") from error


def record_of(client: MlflowClient, run: Run) -> Record:
    """The record that a run is the mirror of.

    Raises:
        KeyError, TypeError, ValueError, zlib.error: it is not what was mirrored.
    """
    check_answer(client, run.info)
    id = run.info.run_id
    return documents.record(documents.unpacked(run.data.tags), Path(f"MLflow run {id}"), Files(client, id))


def _told(runs: Sequence[Run], reason: str) -> str:
    run, record = runs[0].info.run_id, runs[0].data.tags.get(documents.RUN)
    others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return (
        f"MLflow run {run} (record {record}){others} cannot be read ({reason}): mirror again with `sparsebench ui` "
        "or `sparsebench import`, or delete the run"
    )


@dataclass(frozen=True)
class Files:
    """The files of a run's record, each fetched when it is asked for; those that it has not are not there."""

    client: MlflowClient
    run: str

    @cached_property
    def names(self) -> frozenset[str]:
        """Those that the store has."""
        return frozenset(item.path for item in self.client.list_artifacts(self.run))

    def __call__(self, name: str) -> Path:
        """Where it lies then.

        Raises:
            UserError: it cannot be fetched.
        """
        path = _folder() / self.run / name
        try:
            if not path.exists() and name in self.names:
                path.parent.mkdir(exist_ok=True)
                self.client.download_artifacts(self.run, name, str(path.parent))
        except Exception as error:
            raise UserError(f"{name} of MLflow run {self.run} cannot be fetched ({line(error)})") from error
        return path


@cache
def _folder() -> Path:
    """Where fetched files lie until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="sparsebench-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
