"""A team's MLflow, on PostgreSQL: the same runs, board and views as on a file, whoever mirrors at the same time."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import records_fixture as fixture
from ports import closed_port
from sparsebench.cli import main
from sparsebench_board import mirrored, tracking, ui
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.prepared import BOARD, VIEWS
from sparsebench_board.rows import rows
from sparsebench_board.welcome import NOTE

pytest_plugins = ("postgres",)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's, on import
]


def written(root):
    """Records of two methods and three seeds in both backends."""
    return [
        fixture.write(root, fixture.config(method, 0.9, seed, backend), 0.9 + seed / 300)
        for method in ("rigl", "set") for seed in range(3) for backend in ("torch", "jax")
    ]  # fmt: skip


def test_a_database_of_its_own(postgresql, tmp_path, monkeypatch, capsys):
    uri, found = postgresql, written(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert mirror(found, uri, tmp_path / "mlartifacts") == Outcome(new=12)
    assert mirror(found, uri, tmp_path / "mlartifacts") == Outcome(present=12)
    assert rows(mirrored.read_all(uri)) == rows(found)
    shown = []
    for options in (("--records", "runs"), ("--from-mlflow",)):
        assert main(["leaderboard", *options, "--format", "json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert shown[0] == shown[1]
    tags = tracking.connect(uri).get_experiment_by_name(tracking.EXPERIMENT).tags
    assert {view.tag()[0] for view in VIEWS} < set(tags)
    assert "12 runs in 4 cells" in tags[NOTE]
    assert not (tmp_path / "mlruns").exists(), "artifacts lie beside the records, not where somebody happened to be"


def test_several_who_mirror_at_once(postgresql, tmp_path):
    uri, found = postgresql, written(tmp_path / "runs")
    parts = [[record for record in found if record.config.method == method] for method in ("rigl", "set")]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda part: mirror(part, uri, tmp_path / "mlartifacts"), parts))
    assert outcomes == [Outcome(new=6), Outcome(new=6)]
    assert rows(mirrored.read_all(uri)) == rows(found)


def test_a_server_in_front_of_it(postgresql, tmp_path, capsys):
    found, port = written(tmp_path / "runs"), closed_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", postgresql, "--artifacts-destination", str(tmp_path / "served")]
    uri = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(
        [*command, *stores], env=os.environ | ui.ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
    ) as server:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while ui._get("127.0.0.1", port, "/health") is None:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert mirror(found, uri, tmp_path / "unused") == Outcome(new=12)
            again = mirrored.read_all(uri)
            assert rows(again) == rows(found)
            assert again[0].events() == found[0].events()
            ui.serve(uri, tmp_path / "unused")
            experiment = tracking.connect(uri).get_experiment_by_name(tracking.EXPERIMENT)
            assert capsys.readouterr().out == f"MLflow's runs: {uri}{BOARD.address(experiment.experiment_id)}\n"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
    assert not (tmp_path / "unused").exists()
    assert len(list((tmp_path / "served").rglob("events.jsonl"))) == 12
