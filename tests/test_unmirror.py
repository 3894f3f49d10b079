"""What MLflow holds of removed records goes, and its cells speak of those that are left."""

import shutil

import pytest

import records_fixture as fixture
from sparsebench_board import mirror, mirrored, tracking
from sparsebench_board.entries import CELL, KIND, PARENT

pytest_plugins = ("mlflow_store",)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


def held(uri, kind):
    client = tracking.connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id])
    return [run for run in runs if run.data.tags.get(KIND) == kind]


def test_runs_and_empty_cells_go_and_means_are_over_the_rest(migrated, tmp_path):
    store = f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}", tmp_path / "mlartifacts"
    cases = [("rigl", 0, 0.91), ("rigl", 1, 0.94), ("set", 0, 0.9)]
    found = [fixture.write(tmp_path / "runs", fixture.config(method, 0.9, seed), a) for method, seed, a in cases]
    mirror.mirror(found, *store)
    before = {run.data.tags[CELL]: run for run in held(store[0], "cell")}
    assert mirror.remove([found[1].id, found[2].id, "nobody"], *store) == 2
    assert [record.id for record in mirrored.read_all(store[0])] == [found[0].id]
    (cell,), (run,) = held(store[0], "cell"), held(store[0], "run")
    assert run.data.tags[PARENT] == cell.info.run_id
    old = before[cell.data.tags[CELL]]
    assert (cell.data.params, cell.info.run_name) == (old.data.params, old.info.run_name)
    assert {**old.data.tags, "mlflow.user": ""} == {**cell.data.tags, "mlflow.user": ""}
    assert (cell.data.metrics["accuracy"], cell.data.metrics["seeds"], cell.info.status) == (0.91, 1, "FINISHED")
    assert "accuracy_ci95_percent" in old.data.metrics
    assert "accuracy_ci95_percent" not in cell.data.metrics, "one seed has no interval"
    assert mirror.remove([found[1].id], *store) == 0
    assert mirror.mirror(found, *store) == mirror.Outcome(new=2, present=1)
