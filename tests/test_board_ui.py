"""MLflow's pages: they answer where the link says, take what is mirrored, and end when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest

import records_fixture as fixture
from sparsebench.errors import UserError
from sparsebench_board import tracking, ui
from sparsebench_board.mirror import Outcome, mirror

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


def closed_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


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
    assert link == f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert process.returncode == 0
    assert ui._get("127.0.0.1", port, "/health") is None
    assert mirror(found, *store) == Outcome(present=3)
