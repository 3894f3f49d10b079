"""The way into MLflow: imported late, quiet, and refusing within seconds what would make it wait for minutes."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from sparsebench.errors import UserError
from sparsebench_board.extra import needs_board

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

T = TypeVar("T")

EXPERIMENT = "sparsebench"
PATIENCE = 5.0
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Set before MLflow is imported, where the user has not."""

SQLITE = "sqlite:///"
RUN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
PORTS: Mapping[str, int] = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


SCHEMES = frozenset({*PORTS, "mssql", "databricks"})


def default_store(records: Path) -> tuple[str, Path]:
    """(tracking URI, folder for artifacts): MLFLOW_TRACKING_URI if it is set, else a database beside the records."""
    folder = records.absolute()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{folder / 'mlflow.db'}"
    return uri, folder / "mlartifacts"


def load() -> type[MlflowClient]:
    """MLflow's client class, imported quietly.

    Raises:
        UserError: MLflow is not installed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with needs_board("mlflow"):
        from mlflow import MlflowClient
    for name in ("mlflow", "alembic", "urllib3"):  # what goes wrong is raised, and we tell it in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def connect(uri: str) -> MlflowClient:
    """A client of a store that answers. A new database is migrated first, which takes seconds.

    Raises:
        UserError: the store cannot be reached, is locked or cannot be written, or MLflow is not installed.
    """
    _check(uri)
    return load()(tracking_uri=uri)


def experiment(client: MlflowClient, uri: str, artifacts: Path, name: str = EXPERIMENT) -> str:
    """The id of an experiment of ours, created where it is not there and restored where it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if is_server(uri) else artifacts.absolute().as_uri()
        return client.create_experiment(name, artifact_location=location)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def is_local(uri: str) -> bool:
    """Whether the store is a database file."""
    return uri.startswith(SQLITE)


def is_server(uri: str) -> bool:
    """Whether MLflow runs behind it and knows where artifacts belong; of a database, that is a folder of ours."""
    return uri.startswith(("http://", "https://", "databricks"))


def check_answer(client: MlflowClient, run: RunInfo) -> None:
    """Refuse what no MLflow answers, and a server elsewhere that would have files read and written on this machine.

    Raises:
        ValueError: as said.
    """
    if not RUN_ID.fullmatch(run.run_id or ""):
        raise ValueError(f"its answers are not those of MLflow: a run with the id {run.run_id!r}")
    far = is_server(client.tracking_uri) and not is_here(urlsplit(client.tracking_uri).hostname or "")
    if far and urlsplit(run.artifact_uri or "").scheme in ("", "file"):
        raise ValueError(
            f"it keeps artifacts in {run.artifact_uri!r}, a folder of this machine: start the server with "
            "--artifacts-destination"
        )


def is_here(host: str) -> bool:
    """Whether a host is this machine, as only its own processes reach it."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_there(uri: str) -> bool:
    """Whether there may be anything in the store: False for a database file that does not exist."""
    return not is_local(uri) or Path(uri.removeprefix(SQLITE)).is_file()


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises, waited for no longer than that.

    Patience with single reads is no end: a server that sends a byte now and then outlasts it for ever. So the work is
    done in a thread that is left behind when time is up, and that keeps no process alive.

    Raises:
        UserError: it is not done by then.
    """
    end: Future[T] = Future()
    threading.Thread(target=_settle, args=(end, work), daemon=True).start()
    try:
        return end.result(seconds)
    except TimeoutError as error:
        if end.done():  # its own
            raise
        raise UserError(f"it is too slow: not done after {seconds:.0f} s") from error


def _settle(end: Future[T], work: Callable[[], T]) -> None:
    try:
        end.set_result(work())
    except BaseException as error:  # raised where it is waited for
        end.set_exception(error)


def shown(text: str) -> str:
    """The text with addresses stripped of user name and password."""
    return re.sub(r"//[^/\s]*@", "//", text)


def line(error: Exception) -> str:
    """The first line of an error, of bearable length and without passwords."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]


def _check(uri: str) -> None:
    """Refuse at once what MLflow would retry with growing pauses."""
    try:
        _check_file(Path(uri.removeprefix(SQLITE))) if is_local(uri) else _check_host(uri)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise UserError(
            f"MLflow store {shown(uri)} cannot be used ({error}): is it running, unlocked and writable?"
        ) from error


def _check_file(path: Path) -> None:
    """A write lock can be had; the file is left as it was, or empty if it was not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")


def _check_host(uri: str) -> None:
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in SCHEMES and not uri.startswith("databricks"):
        raise ValueError(f"{shown(uri)!r} is no address; give {SQLITE}FILE, http://HOST:PORT or postgresql://HOST/NAME")
    port = parts.port or PORTS.get(scheme)
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), PATIENCE).close()
