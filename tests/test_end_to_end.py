"""From a suite file to the board and to MLflow, on the real backends and the digits; what is lost is done again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import replay
from sparsebench import plugins, records, seals
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench_board import tracking
from sparsebench_board.entries import KIND, PARENT, RUN

pytest_plugins = ("mlflow_store",)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's, on import
]

METHODS = ("dense", "set", "rigl")
SUITE = """
title = "small"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
steps = 60
[updates]
delta_t = 10
[grid]
methods = {methods}
sparsities = [0.5]
backends = {backends}
seeds = 2
"""


def installed(name):
    try:
        plugins.load("backends", name)
    except UserError:
        return False
    return True


BACKENDS = tuple(filter(installed, ("torch", "jax")))


@pytest.fixture(scope="module")
def place(tmp_path_factory, migrated):
    """A folder with a suite that was run once; MLflow's store is beside the records."""
    folder = tmp_path_factory.mktemp("end_to_end")
    (folder / "runs").mkdir()
    shutil.copy(migrated, folder / "runs" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        suite = SUITE.format(methods=json.dumps(METHODS), backends=json.dumps(BACKENDS))
        Path("small.toml").write_text(suite)
        assert main(["run", "small.toml"]) == 0
        yield folder


@pytest.fixture
def command(place, monkeypatch, capfd):
    """Runs a command line there: (exit code, lines of output)."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert err == ""
        return code, out.splitlines()

    return run


def found(root="runs"):
    return {record.id: record for record in records.read_all(Path(root))}


def test_the_board_has_every_cell_with_all_its_seeds(command):
    code, out = command("leaderboard", "--format", "json")
    assert code == 0
    rows = json.loads("\n".join(out))
    cells = {(row["method"], row["sparsity"], row["backend"]) for row in rows}
    assert cells == {(method, 0.0 if method == "dense" else 0.5, name) for method in METHODS for name in BACKENDS}
    assert len(rows) == len(cells)
    for row in rows:
        assert (row["seeds"], row["missing"], len(row["accuracies"])) == ([0, 1], [], 2)
        assert row["accuracy"] > 0.5, "it learns: ten classes"
        assert (row["training_ratio"] == 1.0) is (row["method"] == "dense")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_record_tells_all(command, method, backend):
    mine = [each for each in found().values() if (each.config.method, each.config.backend) == (method, backend)]
    assert [each.config.seed for each in mine] == [0, 1]
    for record in mine:
        check_record(record)


def check_record(record):
    moved = [records.MOVEMENT] if record.config.method in ("set", "rigl") else []
    assert sorted(path.name for path in record.path.iterdir()) == sorted([*records.FILES, *moved, seals.NAME])
    assert {"cpu", "threads", "device", "commit", "python", "platform", "packages"} <= record.environment.keys()
    assert record.config.backend in record.environment["packages"]
    assert record.config.recipe.steps == record.result["steps"] == 60
    assert list(replay.iterations(record.events())) == list(range(60))
    assert record.result["executed_by_layer"] == replay.executed_by_layer(record)
    weights, masks = record.weights(), record.masks()
    assert [layer["name"] for layer in record.layers] == ["fc1", "fc2", "fc3"]
    assert set(masks) == (set() if record.config.method == "dense" else {"fc1", "fc2", "fc3"})
    for layer in record.layers:
        weight = weights[f"{layer['name']}.weight"]
        mask = masks.get(layer["name"], np.ones(layer["shape"], np.bool_))
        assert list(weight.shape) == list(mask.shape) == layer["shape"]
        assert np.count_nonzero(mask) == layer["active"] == layer["density"] * layer["size"]
        assert not weight[~mask].any()
        assert np.count_nonzero(weight) > 0.9 * layer["active"]


def test_masks_moved(command):
    assert len(found()) == 2 * len(METHODS) * len(BACKENDS)
    for record in found().values():
        updates = [event for event in record.events() if event["kind"] == "update"]
        assert [event["iteration"] for event in updates] == (
            [] if record.config.method == "dense" else [10, 20, 30, 40]
        )
        assert all(sum(change["grown"] for change in event["layers"].values()) > 100 for event in updates)


def test_running_again_trains_nothing(command):
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    code, out = command("run", "small.toml")
    assert (code, out[0]) == (0, "lenet-300-100 on digits")
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lost_record_is_made_again_to_the_bit(command, backend):
    lost = next(r for r in found().values() if (r.config.method, r.config.backend) == ("rigl", backend))
    others = {id: record.path.stat().st_mtime_ns for id, record in found().items() if id != lost.id}
    numbers = {name: value for name, value in lost.result.items() if name not in TIMES}
    weights, masks, losses = lost.weights(), lost.masks(), [event.get("loss") for event in lost.events()]
    shutil.rmtree(lost.path)
    code, out = command("run", "small.toml")
    assert code == 0
    assert out[0].startswith(f"1 of {2 * len(METHODS) * len(BACKENDS)} runs to do")
    again = found()[lost.id]
    assert {name: value for name, value in again.result.items() if name not in TIMES} == numbers
    assert [event.get("loss") for event in again.events()] == losses
    for was, now in ((weights, again.weights()), (masks, again.masks())):
        assert {name: array.tobytes() for name, array in was.items()} == {
            name: array.tobytes() for name, array in now.items()
        }
    assert {id: record.path.stat().st_mtime_ns for id, record in found().items() if id != lost.id} == others


TIMES = {"seconds", "steps_per_second", "finished"}


def test_seeds_share_their_start_across_methods_and_backends(command):
    """Paired seeds: the first evaluation of SET on both backends saw the same masks, weights and batches."""
    by_seed = {}
    for record in found().values():
        if record.config.method == "set":
            by_seed.setdefault(record.config.seed, []).append(record)
    for several in by_seed.values():
        losses = [[event["loss"] for event in record.events() if event["kind"] == "train"][:5] for record in several]
        assert all(np.allclose(loss, losses[0], atol=1e-4) for loss in losses)
    assert len(by_seed) == 2


def test_one_cell_with_a_setting_of_its_own(command):
    line = ["train", "--method", "set", "--backend", BACKENDS[0], "--recipe.steps", 30, "--updates.delta-t", 10]
    code, out = command(*line, "--recipe.learning-rate", 0.05, "--sparsity", 0.8, "--records", "single", "--no-mlflow")
    assert code == 0
    (record,) = found("single").values()
    assert out[0] == f"set 0.8 {BACKENDS[0]} on digits, lenet-300-100, seed 0"
    assert (record.config.recipe.learning_rate, record.config.sparsity, record.config.method) == (0.05, 0.8, "set")
    assert record.result["active_parameters"] == sum(int(mask.sum()) for mask in record.masks().values())


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused_by_each_backend_before_any_run(place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    assert main(["run", "small.toml", "--device", "cuda", "--records", "never"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(BACKENDS)
    for name, line in zip(sorted(BACKENDS), lines, strict=True):
        assert line.startswith(f"error: device 'cuda' was asked for, but {name} sees no")
        assert line.endswith(": use --device cpu")
    assert not Path("never").exists()


def test_import_is_idempotent(command):
    code, out = command("import", "runs", "--records", "elsewhere", "--no-mlflow")
    total = len(found())
    assert (code, out[0]) == (0, f"{total} records read, {total} new, 0 were here")
    assert {id: record.result for id, record in found("elsewhere").items()} == {
        id: record.result for id, record in found().items()
    }
    before = {path: path.stat().st_mtime_ns for path in Path("elsewhere").rglob("*")}
    assert command("import", "runs", "--records", "elsewhere", "--no-mlflow")[1][0] == (
        f"{total} records read, 0 new, {total} were here"
    )
    assert {path: path.stat().st_mtime_ns for path in Path("elsewhere").rglob("*")} == before


def test_mlflow_has_a_parent_for_each_cell_and_a_child_for_each_seed(command):
    uri, _ = tracking.default_store(Path("runs"))
    client = tracking.connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id])
    parents = {run.info.run_id: run for run in runs if run.data.tags[KIND] == "cell"}
    children = {run.data.tags[RUN]: run for run in runs if run.data.tags[KIND] == "run"}
    assert len(runs) == len(parents) + len(children)
    assert children.keys() == found().keys()
    assert len(parents) == len(METHODS) * len(BACKENDS)
    for id, record in found().items():
        child = children[id]
        parent = parents[child.data.tags[PARENT]]
        assert child.data.metrics["accuracy"] == record.result["accuracy"]
        assert parent.data.metrics["seeds"] == 2
        for tag in ("method", "backend", "sparsity", "dataset", "model"):
            assert child.data.tags[tag] == parent.data.tags[tag]
        assert "result.json" in {item.path for item in client.list_artifacts(child.info.run_id)}
