"""Fixtures for fetching: an empty cache, and a server on this machine that serves the small archive."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from small_archive import PACKED, whole


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The data set's folder in an empty cache; no folder is named; no proxy stands before this machine."""
    monkeypatch.delenv("SPARSEBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "sparsebench" / "small"


class Server(ThreadingHTTPServer):
    """Answers GET with the files of the data set; `answers` maps a name to another way to answer for it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self.requests = Counter()
        self.answers = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/")
        self.server.requests[name] += 1
        self.server.answers.get(name, whole)(self, PACKED.get(name, b""))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    """A server that serves the data set, until the end of the test."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
