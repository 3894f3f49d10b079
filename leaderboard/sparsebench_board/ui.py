"""MLflow's own pages over what was mirrored: a child process on this machine, and a link that opens on the runs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sparsebench.errors import UserError
from sparsebench.printing import printable
from sparsebench_board.prepared import BOARD
from sparsebench_board.tracking import EXPERIMENT, PATIENCE, connect, is_here, is_server, load, shown, within

READY_WITHIN = 120.0
EXPERIMENTS = "/#/experiments"
ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""The job runner costs half a minute and half a gigabyte, for generative models only."""


def serve(uri: str, artifacts: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
    """Serve the store at `uri` until interrupted; of a store that is a server already, only its link is printed.

    Raises:
        UserError: the port is taken, MLflow is not installed, or its server does not start.
    """
    if is_server(uri):
        _say(f"MLflow's runs: {shown(uri).rstrip('/')}{_there(uri)}")
        return
    load()
    check_free(host, port)
    with tempfile.TemporaryFile("w+") as log, _server(_command(artifacts, host, port), uri, log) as server:
        _await(server, host, port, log)
        _say(f"MLflow's runs: http://{host}:{port}{_page(host, port)}")
        _say("Ctrl-C ends it")
        server.wait()
        raise UserError(_ended(log))


def exposed(uri: str, host: str, port: int) -> str | None:
    """What it means to listen on an address that other machines may reach; None where none can."""
    if is_server(uri) or is_here(host):
        return None
    return (
        f"--host {host}: there is no password: whoever reaches port {port} of this machine can read, change and delete "
        f"these runs; safer is to leave --host out, and on the other machine `ssh -L {port}:127.0.0.1:{port} THIS-ONE`"
    )


def _command(artifacts: Path, host: str, port: int) -> list[str]:
    files = ["--no-serve-artifacts", "--default-artifact-root", artifacts.absolute().as_uri()]
    return [sys.executable, "-m", "mlflow", "server", *files, "--host", host, "--port", str(port), "--workers", "1"]


def check_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened to.

    Raises:
        UserError: as said.
    """
    try:
        with closing(socket.create_server((host, port))):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} of {host} cannot be used ({error}): give another one with --port, or --host"
        ) from error


@contextmanager
def _server(command: list[str], uri: str, log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process and its own, for as long as we are here, whatever ends us; Ctrl-C is no error.

    Where its store is, which may hold a password, is told where no other user of this machine can read it.
    """
    settings = os.environ | ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": uri}
    server = subprocess.Popen(command, env=settings, stdout=log, stderr=log, start_new_session=True)
    try:
        yield server
    except KeyboardInterrupt:
        _say("")
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the whole group: MLflow's command starts the processes that serve, and need not outlive them."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(patience)


def _await(server: subprocess.Popen[bytes], host: str, port: int, log: IO[str]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while _get(host, port, "/health") is None:
        if server.poll() is not None or time.monotonic() > deadline:
            raise UserError(_ended(log))
        time.sleep(0.2)


def _ended(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()] or ["it said nothing"]
    return f"MLflow's server does not run: {lines[-1]}"


def _page(host: str, port: int) -> str:
    """Where our runs are: without a view, MLflow opens on an empty page for generative models."""
    answer = _get(host, port, f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(EXPERIMENT)}")
    return BOARD.address(json.loads(answer)["experiment"]["experiment_id"]) if answer else EXPERIMENTS


def _there(uri: str) -> str:
    """The same on a server that runs elsewhere, which may want a password that MLflow's client knows."""
    try:
        found = within(PATIENCE, lambda: connect(uri).get_experiment_by_name(EXPERIMENT))
    except Exception:  # the link leads to what there is, if anything
        return EXPERIMENTS
    return BOARD.address(found.experiment_id) if found else EXPERIMENTS


def _get(host: str, port: int, path: str) -> bytes | None:
    """The body of a successful answer, else None."""
    with closing(http.client.HTTPConnection(host, port, timeout=10)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read() if answer.status == http.client.OK else None
        except (OSError, http.client.HTTPException):
            return None


def _say(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()
