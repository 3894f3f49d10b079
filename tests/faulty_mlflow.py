"""MLflow's own server in this process, on a store of its own, which can be made to fail after some requests."""

import socket
import threading
import time
import warnings
from contextlib import suppress
from itertools import takewhile
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

HANG = 1.5
"""Seconds without an answer; tests wait for one."""
DRIP = 0.25
"""Seconds between the bytes of an answer that never ends: each of them comes in time."""


def _status(line, body, *headers):
    def answer(start_response):
        start_response(line, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
        return [body]

    return answer


def _hang(start_response):
    time.sleep(HANG)
    return _status("200 OK", b"{}")(start_response)


def _drip(start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "1000000")])
    while True:
        yield b" "
        time.sleep(DRIP)


FAULTS = {
    "gone": None,
    "hangs": _hang,
    "drips": _drip,
    "errors": _status("500 Internal Server Error", b"it broke"),
    "busy": _status("503 Service Unavailable", b"", ("Retry-After", "100000")),
    "a page": _status("200 OK", b"<html>log in</html>"),
    "nothing": _status("200 OK", b"{}"),
    "a list": _status("200 OK", b"[]"),
}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


class Faulty:
    """A server at `uri`: `fail(fault, after)` lets `after` more requests through, `heal()` all."""

    def __init__(self, app):
        self.app, self.fault, self.left, self.requests = app, None, 0, 0
        self.server = make_server("127.0.0.1", 0, self.answer, _Server, _Quiet)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def fail(self, fault, after=0):
        self.fault, self.left = fault, after

    def heal(self):
        self.fault = None

    def answer(self, environ, start_response):
        self.requests += 1
        if self.fault is None or self.left > 0:
            self.left -= 1
            return self.app(environ, start_response)
        if FAULTS[self.fault] is None:
            with suppress(OSError):
                socket.fromfd(environ["wsgi.input"].raw._sock.fileno(), socket.AF_INET, socket.SOCK_STREAM).shutdown(2)
            raise ConnectionResetError
        return takewhile(lambda _: self.fault is not None, FAULTS[self.fault](start_response))


@pytest.fixture(scope="module")
def mlflow_server(migrated, tmp_path_factory):
    """The server; its store keeps what the tests of a module have sent."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(migrated.read_bytes())
    patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder / 'mlflow.db'}")
    patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(folder / "artifacts"))
    patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    with warnings.catch_warnings(action="ignore"):  # MLflow's, on import
        import mlflow.server.fastapi_app  # noqa: F401 - a request would import it
        from mlflow.server import app

    patch.setenv("MLFLOW_TRACKING_URI", "")
    app.test_client().get("/api/2.0/mlflow/experiments/get?experiment_id=0")  # which sets that variable, once
    patch.setenv("MLFLOW_TRACKING_URI", "")
    faulty = Faulty(app)
    yield faulty
    faulty.server.shutdown()
    faulty.server.server_close()
    patch.undo()
