"""The mirror: MLflow holds what the records say, once, whatever happened before."""

from __future__ import annotations

import json
import math
import shutil
import socket
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import records_fixture as fixture
from ports import closed_port
from sparsebench import records, seals
from sparsebench.cli import board
from sparsebench.errors import UserError
from sparsebench_board import tracking
from sparsebench_board.documents import DIGEST, RUN
from sparsebench_board.entries import CELL, KIND, PARENT, digest
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.rows import rows

pytest_plugins = ("mlflow_store",)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


@pytest.fixture
def store(migrated, tmp_path):
    """(URI, folder of artifacts) of a fresh store."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}", tmp_path / "mlartifacts"


@pytest.fixture
def found(tmp_path):
    """Two cells of two seeds and one of one."""
    cases = [("rigl", 0, 0.91), ("rigl", 1, 0.94), ("set", 0, 0.9), ("set", 1, 0.8), ("static", 0, 0.7)]
    return [fixture.write(tmp_path / "runs", fixture.config(method, 0.9, seed), a) for method, seed, a in cases]


def held(uri):
    """(parents by cell, children by record) of a store; exactly one of each."""
    client = tracking.connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id])
    parents = {run.data.tags[CELL]: run for run in runs if run.data.tags[KIND] == "cell"}
    children = {run.data.tags[RUN]: run for run in runs if run.data.tags[KIND] == "run"}
    assert len(parents) + len(children) == len(runs)
    return parents, children


def test_mlflow_says_what_the_records_say(found, store):
    assert mirror(found, *store) == Outcome(new=5)
    _, children = held(store[0])
    for record in found:
        run, result = children[record.id], record.result
        metrics = run.data.metrics
        assert metrics["accuracy"] == result["accuracy"]
        assert metrics["accuracy_percent"] == round(100 * result["accuracy"], 2)
        assert metrics["test_loss"] == result["loss"]
        for name in ("training_flops", "inference_flops", "bytes", "active_parameters", "steps_per_second"):
            assert metrics[name] == result[name]
        assert metrics["training_ratio"] == round(result["training_ratio"], 4)
        assert run.info.status == "FINISHED"
        assert run.data.params["recipe.learning_rate"] == "0.1"
        assert run.data.params["updates.delta_t"] == "20"
        assert "recipe.epochs" not in run.data.params
        tags = {"method": record.config.method, "backend": "torch", "model": "lenet-300-100", "dataset": "digits"}
        tags |= {"sparsity": "0.9", "distribution": "erk", "seed": str(record.config.seed), DIGEST: digest(record)}
        assert tags.items() <= run.data.tags.items()


def test_series_have_their_steps(found, store):
    mirror(found[:1], *store)
    _, children = held(store[0])
    client, run = tracking.connect(store[0]), children[found[0].id].info.run_id
    series = {
        name: [
            (point.step, point.value) for point in sorted(client.get_metric_history(run, name), key=lambda p: p.step)
        ]
        for name in ("train_loss", "accuracy_percent", "test_loss", "density")
    }
    assert series == {
        "train_loss": [(100, 1.2346), (200, 0.5)],
        "accuracy_percent": [(100, 45.5), (200, 91.0)],
        "test_loss": [(100, 0.9), (200, 0.25)],
        "density": [(101, 0.1), (200, 0.1)],
    }


def test_parents_are_rows(found, store):
    mirror(found, *store)
    parents, children = held(store[0])
    for row in rows(found):
        metrics = parents[row.cell].data.metrics
        assert metrics["accuracy"] == row.accuracy
        assert metrics["accuracy_percent"] == round(100 * row.accuracy, 2)
        assert metrics.get("accuracy_ci95_percent") == (row.accuracy_ci95 and round(100 * row.accuracy_ci95, 2))
        assert (metrics["seeds"], metrics["steps_per_second"]) == (len(row.seeds), row.steps_per_second)
        assert parents[row.cell].info.status == "FINISHED"
        assert "seed" not in parents[row.cell].data.params
        assert {children[id].data.tags[PARENT] for id in row.run_ids} == {parents[row.cell].info.run_id}


def test_artifacts_are_the_record_beside_the_store(found, store):
    mirror(found[:1], *store)
    _, children = held(store[0])
    client, run = tracking.connect(store[0]), children[found[0].id].info
    files = {item.path for item in client.list_artifacts(run.run_id)}
    assert files == {path.name for path in found[0].path.iterdir()}
    assert Path(run.artifact_uri.removeprefix("file://")).is_relative_to(store[1])
    copied = Path(run.artifact_uri.removeprefix("file://")) / "result.json"
    assert json.loads(copied.read_text()) == found[0].result


def test_mirroring_again_changes_nothing(found, store):
    mirror(found, *store)
    before = held(store[0])
    assert mirror(found, *store) == Outcome(present=5)
    after = held(store[0])
    for old, new in zip(before, after, strict=True):
        assert {name: run.to_dictionary() for name, run in old.items()} == {
            name: run.to_dictionary() for name, run in new.items()
        }


def test_a_new_seed_joins_its_cell(found, store):
    assert mirror([found[0]], *store) == Outcome(new=1)
    assert mirror([found[1]], *store) == Outcome(new=1)  # the first seed is not among the records now
    parents, _ = held(store[0])
    ((_, parent),) = parents.items()
    (row,) = rows(found[:2])
    assert parent.data.metrics["accuracy"] == row.accuracy
    assert parent.data.metrics["seeds"] == 2
    assert parent.data.metrics["accuracy_ci95_percent"] == round(100 * row.accuracy_ci95, 2)


def test_a_record_made_anew_replaces_its_run(found, store):
    mirror(found, *store)
    document = found[0].path / "result.json"
    document.write_text(json.dumps(found[0].result | {"accuracy": 0.5}))
    seals.write(found[0].path)
    again = [records.read(record.path) for record in found]
    assert mirror(again, *store) == Outcome(present=4, replaced=1)
    parents, children = held(store[0])
    assert children[found[0].id].data.metrics["accuracy"] == 0.5
    row = next(row for row in rows(again) if row.method == "rigl")
    assert parents[row.cell].data.metrics["accuracy"] == row.accuracy == pytest.approx(0.72)
    assert mirror(again, *store) == Outcome(present=5)


@pytest.mark.parametrize("interrupted", ["log_batch", "log_artifact", "set_terminated"])
def test_an_interrupted_mirror_is_completed(found, store, monkeypatch, interrupted):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    assert mirror(found[:1], *store) == Outcome(new=1)
    with monkeypatch.context() as patch:
        patch.setattr(tracking.load(), interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            mirror(found, *store)
    outcome = mirror(found, *store)
    assert (outcome.new + outcome.replaced, outcome.present, outcome.failed) == (4, 1, 0)
    assert outcome.replaced == 1
    _, children = held(store[0])
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert mirror(found, *store) == Outcome(present=5)


def test_a_deleted_parent_comes_back_with_its_children(found, store):
    mirror(found[:2], *store)
    parents, _ = held(store[0])
    tracking.connect(store[0]).delete_run(next(iter(parents.values())).info.run_id)
    assert mirror(found[:2], *store) == Outcome(present=2)
    parents, children = held(store[0])
    (parent,) = parents.values()
    assert {run.data.tags[PARENT] for run in children.values()} == {parent.info.run_id}
    assert parent.data.metrics["seeds"] == 2


def test_a_deleted_experiment_is_restored(found, store):
    mirror(found[:1], *store)
    client = tracking.connect(store[0])
    client.delete_experiment(client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id)
    assert mirror(found[:1], *store).failed == 0
    assert len(held(store[0])[1]) == 1


def test_long_series_go_in_batches(tmp_path, store, monkeypatch):
    record = fixture.write(tmp_path / "runs", fixture.config(), 0.9)
    events = [{"kind": "train", "start": i, "stop": i + 1, "loss": i / 1000, "seconds": 0.0} for i in range(2500)]
    (record.path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    seals.write(record.path)
    client, sizes = tracking.load(), []
    original = client.log_batch

    def counted(self, run, metrics=(), **others):
        sizes.append(len(metrics))
        return original(self, run, metrics=metrics, **others)

    monkeypatch.setattr(client, "log_batch", counted)
    assert mirror([record], *store) == Outcome(new=1)
    assert sizes[:5] == [0, 0, 1000, 1000, 2500 + 12 - 2000]
    ((_, run),) = held(store[0])[1].items()
    assert len(tracking.connect(store[0]).get_metric_history(run.info.run_id, "train_loss")) == 2500


def test_what_is_not_finite_is_left_out(tmp_path, store):
    record = fixture.write(tmp_path / "runs", fixture.config(), 0.9)
    events = [
        {"kind": "train", "start": 0, "stop": step, "loss": loss} for step, loss in enumerate([math.inf, math.nan, 1])
    ]
    (record.path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    (record.path / "result.json").write_text(json.dumps(record.result | {"steps_per_second": math.inf}))
    seals.write(record.path)
    assert mirror([records.read(record.path)], *store) == Outcome(new=1)
    ((_, run),) = held(store[0])[1].items()
    history = tracking.connect(store[0]).get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(2, 1.0)]
    assert "steps_per_second" not in run.data.metrics


def test_two_commands_at_once_mirror_once(found, store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store[0])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda several: board.mirror(several, found[0].path.parent), [found, found]))
    parents, children = held(store[0])  # exactly one run for each
    assert (len(parents), len(children)) == (3, 5)


# ---- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["events.jsonl", "weights.safetensors"])
def test_a_damaged_record_costs_only_itself(found, store, name):
    (found[0].path / name).write_text('{"kind": "tra')
    outcome = mirror(found, *store)
    assert (outcome.new, outcome.failed) == (4, 1)
    assert found[0].id in outcome.reasons[0]
    assert len(held(store[0])[1]) == 4


def test_an_unreachable_server_is_one_line(found, tmp_path):
    outcome = mirror(found, f"http://user:secret@127.0.0.1:{closed_port()}", tmp_path)
    assert outcome.failed == 5
    (reason,) = outcome.reasons
    assert "refused" in reason
    assert "secret" not in str(outcome)
    assert "\n" not in str(outcome)


def test_a_silent_server_is_given_up(found, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        outcome = mirror(found, f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
    assert outcome.failed == 5
    assert len(outcome.reasons) == 1


def test_a_locked_database_is_one_line(found, store, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    with closing(sqlite3.connect(store[0].removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        outcome = mirror(found, *store)
    assert outcome.failed == 5
    assert "locked" in outcome.reasons[0]
    assert mirror(found, *store) == Outcome(new=5)


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/nowhere/mlflow.db", "sqlite:///{file}", "file://{folder}", "gopher://x"]
)
def test_an_impossible_store_is_one_line(found, tmp_path, uri):
    file = tmp_path / "not-a-database"
    file.write_text("something else " * 100)
    outcome = mirror(found, uri.format(file=file, folder=tmp_path / "mlruns"), tmp_path / "artifacts")
    assert outcome.failed == 5
    assert len(outcome.reasons) == 1
    assert outcome.reasons[0]


def test_nothing_to_mirror_touches_nothing(tmp_path):
    assert mirror([], f"sqlite:///{tmp_path}/mlflow.db", tmp_path) == Outcome()
    assert list(tmp_path.iterdir()) == []


def test_missing_mlflow_says_what_to_install(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match="pip install 'sparsebench\\[board\\]'"):
        mirror(found, f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


def test_outcomes_read_well():
    told = str(Outcome(new=2, present=1, failed=1, reasons=("the disk is full",)))
    assert told == "MLflow runs: 2 new, 1 already there, 1 failed (the disk is full)"
    assert str(Outcome()) == "MLflow runs: none"
