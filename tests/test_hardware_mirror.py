"""Hardware documents in MLflow: a run for each, once, with what the document says; and which commands mirror them."""

import hashlib
import shutil
from pathlib import Path

import pytest

import hardware_fixture as fixture
from sparsebench.cli.options import RUNS
from sparsebench.hardware import documents
from sparsebench_board import hardware, mirror, tracking, ui
from sparsebench_board.entries import DIGEST
from sparsebench_board.mirror import Outcome

pytest_plugins = ("mlflow_store", "command_line")
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import


@pytest.fixture
def store(migrated, tmp_path):
    """(URI, folder of artifacts) of a fresh store."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}", tmp_path / "mlartifacts"


def written(folder, **machine):
    products = [fixture.product(), fixture.product("torch BSR 4×4", name="../odd name (é)", speedup=None)]
    return documents.write(fixture.document(machine, steps=[fixture.step()], products=products), folder)


def held(uri):
    client = tracking.connect(uri)
    return list(client.search_runs([client.get_experiment_by_name(hardware.EXPERIMENT).experiment_id]))


def test_mlflow_says_what_the_document_says(tmp_path, store):
    path = written(tmp_path, device="cuda", gpu=fixture.GPU)
    assert hardware.mirror([path], *store) == Outcome(new=1)
    (run,) = held(store[0])
    assert run.info.status == "FINISHED"
    tags = {"device": "cuda", "device_name": "Some GPU 80GB", "gpu.driver_version": "580.1", "version.torch": "2"}
    assert (tags | {DIGEST: hashlib.sha256(path.read_bytes()).hexdigest()}).items() <= run.data.tags.items()
    assert "commit" not in run.data.tags
    assert run.data.params["models"] == "lenet-300-100 128 x 28 px"
    of_step, of_kernel = "lenet-300-100/torch/float32", "lenet fc1/CSR/0.1"
    expected = {
        "machine/memory_gb_per_second": 20, "machine/bfloat16_gflop_per_second": 200,
        f"{of_step}/masked_to_dense": 1.02, f"{of_step}/masked_to_dense_low": 1.01, f"{of_step}/update_ms": 8,
        f"{of_step}/images_per_second": 125500, f"{of_step}/masks_mb": 1.331, f"{of_step}/masked_step_mb": 6,
        f"{of_kernel}/speedup": 2, f"{of_kernel}/theory": 10, "_/odd name ___/torch BSR 4x4/0.1/ms": 1,
    }  # fmt: skip
    assert expected.items() <= run.data.metrics.items()
    assert not [name for name in run.data.metrics if "odd" in name and "speedup" in name]
    (artifact,) = tracking.connect(store[0]).list_artifacts(run.info.run_id)
    assert artifact.path == path.name
    copied = Path(run.info.artifact_uri.removeprefix("file://"))
    assert copied.is_relative_to(store[1])
    assert documents.read(copied / path.name) == documents.read(path)


def test_mirroring_again_changes_nothing_and_what_was_interrupted_is_made_anew(tmp_path, store):
    one, other = written(tmp_path), written(tmp_path, threads=4)
    assert hardware.mirror([one, other], *store) == Outcome(new=2)
    before = {run.info.run_id for run in held(store[0])}
    assert hardware.mirror([one, other], *store) == Outcome(present=2)
    assert {run.info.run_id for run in held(store[0])} == before
    lost = sorted(before)[0]
    tracking.connect(store[0]).set_terminated(lost, "FAILED")
    assert hardware.mirror([one, other], *store) == Outcome(new=1, present=1)
    after = held(store[0])
    assert len({run.data.tags[DIGEST] for run in after}) == len(after) == 2
    assert lost not in {run.info.run_id for run in after}


def test_a_damaged_document_costs_itself(tmp_path, store):
    good, bad = written(tmp_path), tmp_path / "bad.json"
    bad.write_text("{")
    outcome = hardware.mirror([bad, good], *store)
    assert (outcome.new, outcome.failed) == (1, 1)
    assert "bad.json cannot be read" in outcome.reasons[0]


def test_a_store_that_is_not_there_is_an_outcome(tmp_path):
    outcome = hardware.mirror([written(tmp_path)], "http://user:secret@127.0.0.1:9", tmp_path)
    assert outcome.failed == 1
    assert "secret" not in str(outcome)


# ---- commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mirrored(monkeypatch):
    """What commands mirror of hardware, instead of mirroring it."""
    given = []

    def note(paths, uri, artifacts):
        given.append([path.name for path in paths])
        return Outcome(failed=1, reasons=("no answer",)) if "broken" in uri else Outcome(new=len(paths))

    monkeypatch.setattr(hardware, "mirror", note)
    return given


BENCH = ["bench", "--model", "lenet-300-100", "--backend", "toy", "--seconds", "1e-9"]


def test_a_store_out_of_order_is_a_warning(command, mirrored, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "broken")
    code, _, err = command(*BENCH)
    assert code == 0
    assert err[-1].startswith("warning: MLflow runs: 1 failed (no answer); documents are complete, `sparsebench ui`")


def test_ui_mirrors_documents_too(command, mirrored, monkeypatch):
    monkeypatch.setattr(ui, "serve", lambda *arguments: None)
    monkeypatch.setattr(mirror, "mirror", lambda found, *place: Outcome(new=len(found)))
    RUNS.mkdir()
    assert command("ui")[0] == 2
    path = written(RUNS)
    assert command("ui")[0] == 0
    assert mirrored == [[path.name]]


def test_import_takes_documents_in_once(command, mirrored):
    there = Path("there")
    path = written(there)
    assert command("import", there)[:2] == (
        0,
        [
            "0 records read, 0 new, 0 were here",
            "1 hardware documents read, 1 new, 0 were here",
            "next: sparsebench leaderboard",
        ],
    )
    assert [documents.read(taken) for taken in documents.paths(RUNS)] == [documents.read(path)]
    assert "1 hardware documents read, 0 new, 1 were here" in command("import", there)[1]
    assert mirrored == [[path.name]]
    other = written(there, threads=4)
    other.rename(path)
    command("import", there)
    threads = {documents.read(taken).machine.threads for taken in documents.paths(RUNS)}
    assert threads == {2, 4}, "another document of the same name takes the place of none"
    path.write_text("{}")
    code, out, err = command("import", there)
    assert (code, out, len(err)) == (2, [], 1)
