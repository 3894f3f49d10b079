"""MLflow's pages: they answer where the link says, take what is mirrored, and end when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from uuid import uuid4

import pytest

import records_fixture as fixture
from ports import closed_port
from sparsebench.errors import UserError
from sparsebench_board import tracking, ui
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.prepared import BOARD

pytest_plugins = ("mlflow_store",)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


def test_the_default_store_is_beside_the_records(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.default_store(tmp_path) == (f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.invalid")
    assert tracking.default_store(tmp_path)[0] == "http://example.invalid"


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used"):
            ui.serve(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, port=port)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_runs_already_is_only_linked(tmp_path, capsys):
    ui.serve("http://user:secret@tracking.invalid:5000/", tmp_path)
    assert capsys.readouterr().out == "MLflow's runs: http://tracking.invalid:5000/#/experiments\n"


STUB = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
MAIN = """
import sys
from sparsebench.cli import board, main
from sparsebench_board import ui
board.mirror = lambda found, records: None
ui.load = lambda: None
ui._command = lambda artifacts, host, port: [sys.executable, "-c", sys.argv[1], str(port)]
sys.exit(main(["ui", "--records", sys.argv[2], "--port", sys.argv[3]]))
"""


def processes_with(word):
    """Command lines of living processes that hold a word."""
    listed = subprocess.run(["ps", "-wweo", "stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if word in line and line[0] != "Z" and "ps -wweo" not in line]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda value: str(value)
)
def test_no_signal_leaves_the_server_or_its_own_processes_running(tmp_path, number, code):
    port, word = closed_port(), f"stub-{uuid4()}"
    stub = STUB.replace("time.sleep(600)", f"time.sleep(600) # {word}")
    fixture.write(tmp_path, fixture.config())
    command = [sys.executable, "-c", MAIN, stub, str(tmp_path), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        link = process.stdout.readline()
        started = processes_with(word)
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert f"http://127.0.0.1:{port}/" in link
    assert len(started) > 1
    assert process.returncode == code
    assert processes_with(word) == []


@pytest.mark.slow
def test_the_pages_answer_take_a_mirror_and_end_with_ctrl_c(tmp_path):
    store = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts"
    found = [fixture.write(tmp_path / "runs", fixture.config(seed=seed), 0.9) for seed in range(3)]
    assert mirror(found[:1], *store) == Outcome(new=1)
    port = closed_port()
    call = f"serve({store[0]!r}, Path({str(store[1])!r}), port={port})"
    command = [sys.executable, "-c", f"from pathlib import Path; from sparsebench_board.ui import serve; {call}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            link = process.stdout.readline().removeprefix("MLflow's runs: ").strip()
            assert ui._get("127.0.0.1", port, "/health") == b"OK"
            assert mirror(found, f"http://127.0.0.1:{port}", store[1]) == Outcome(new=2, present=1)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30)
    experiment = tracking.connect(store[0]).get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    assert link == f"http://127.0.0.1:{port}{BOARD.address(experiment)}"
    assert process.returncode == 0
    assert ui._get("127.0.0.1", port, "/health") is None
    assert mirror(found, *store) == Outcome(present=3)
