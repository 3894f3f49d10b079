"""What MLflow holds, read back: the same records, hence the same rows, and nothing that is not what was mirrored."""

import base64
import json
import random
import shutil
import zlib
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import records_fixture as fixture
from damage import flip
from sparsebench import records
from sparsebench.cli import main
from sparsebench.config import Recipe, Updates
from sparsebench.errors import UserError
from sparsebench_board import documents, mirrored, tracking
from sparsebench_board.documents import DIGEST, TAG
from sparsebench_board.entries import KIND
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.rows import Row, rows

pytest_plugins = ("mlflow_store",)
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import

UNKNOWN = dict.fromkeys(("training_flops", "training_ratio", "inference_flops", "inference_ratio"))
LARGE = {
    "executed_by_layer": {
        f"blocks.{k}.conv": {"forward": random.Random(k).random() * 1e12, "weight_gradient": k} for k in range(500)
    }
}


@pytest.fixture
def store(migrated, tmp_path):
    """(URI, folder of artifacts) of a fresh store."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}", tmp_path / "mlartifacts"


def made(root):
    """Records of every kind: methods, sparsities, seeds (one lacks one), backends, lengths, FLOPs that are unknown."""
    slow = Updates(delta_t=50, alpha=0.3, begin=0.0, end=0.75, anneal="cosine")
    odd = {"cpu": "Example® <b>CPU</b>\u2028 \x1b[31m", "commit": None}
    configs = [
        *(fixture.config(method, 0.9, seed, backend) for method in ("rigl", "set") for seed in range(3)
          for backend in ("torch", "jax")),
        *(fixture.config("dense", 0.0, seed) for seed in range(9)),
        fixture.config("static", 0.98, 1),
        fixture.config(updates=slow),
        fixture.config(multiplier=5.0, recipe=Recipe(steps=5 * fixture.STEPS)),
    ]  # fmt: skip
    speeds = [{"steps_per_second": 10000 / 3 + k, "accuracy": 1 / 3 + k / 99} for k in range(len(configs))]
    found = [fixture.write(root, config, result=speed) for config, speed in zip(configs, speeds, strict=True)]
    found += [fixture.write(root, fixture.config("snip", 0.9, seed), result=UNKNOWN) for seed in range(2)]
    found += [fixture.write(root, fixture.config("snfs", 0.9), result=LARGE, environment=odd)]
    return sorted(found, key=lambda record: record.id)


def tags_of(record):
    return documents.packed(documents.texts(record)) | {DIGEST: documents.digest(documents.texts(record))}


def test_rows_from_mlflow_are_those_from_the_records(tmp_path, store):
    found = made(tmp_path / "runs")
    assert mirror(found, *store) == Outcome(new=len(found))
    again = mirrored.read_all(store[0])
    assert [(r.id, r.config, r.identity, r.environment, r.result) for r in again] == [
        (r.id, r.config, r.identity, r.environment, r.result) for r in found
    ]
    for ours, theirs in zip(rows(found), rows(again), strict=True):
        for field in fields(Row):
            assert getattr(theirs, field.name) == getattr(ours, field.name), field.name
    assert len(tags_of(next(record for record in found if record.config.method == "snfs"))) > 3, "more than one tag"


def test_other_files_are_fetched_when_they_are_asked_for(tmp_path, store):
    found = fixture.write(tmp_path / "runs", fixture.config())
    mirror([found], *store)
    (again,) = mirrored.read_all(store[0])
    assert (again.layers, again.input, again.events()) == (found.layers, found.input, found.events())
    for ours, theirs in ((found.masks(), again.masks()), (found.weights(), again.weights())):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert again.movement() is None
    assert again.verify()
    with pytest.raises(UserError, match=r"record MLflow run \w+ cannot be read .*rewind.safetensors"):
        again.rewind()


def test_files_that_changed_in_the_store_are_refused(tmp_path, store):
    mirror([fixture.write(tmp_path / "runs", fixture.config())], *store)
    (path,) = store[1].rglob("weights.safetensors")
    flip(path)
    (again,) = mirrored.read_all(store[0])
    assert again.events()
    with pytest.raises(UserError, match=r"record MLflow run \w+ cannot be read \(weights.safetensors does not match"):
        again.weights()


def test_files_that_cannot_be_fetched_are_one_line(tmp_path, store):
    mirror([fixture.write(tmp_path / "runs", fixture.config())], *store)
    (again,) = mirrored.read_all(store[0])
    shutil.rmtree(store[1])
    store[1].touch()
    with pytest.raises(
        UserError, match=r"events.jsonl of MLflow run \w+ cannot be fetched|cannot be read .*events.jsonl"
    ):
        again.events()


def test_the_command_line_prints_the_same_board(tmp_path, store, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store[0])
    monkeypatch.chdir(tmp_path)
    mirror(made(tmp_path / "runs"), *store)
    shown = []
    for options in ((), ("--from-mlflow",), ("--from-mlflow", store[0]), (f"--from-mlflow={store[0]}",)):
        assert main(["leaderboard", *options, "--format", "json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    assert len(shown[0]) > 5
    assert shown[0] == shown[1] == shown[2] == shown[3]
    shutil.rmtree("runs")
    assert main(["leaderboard", "--from-mlflow", "--view", "budget"]) == 0
    assert main(["plot", "curves", "--from-mlflow", "--only", "method=rigl,seed=0", "--to", "curves.svg"]) == 0
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")


# ---- what is not what was mirrored ----------------------------------------------------------------------------


def spoil(store, name, change):
    """Change one tag of one finished run; no change at all deletes it."""
    client = tracking.connect(store[0])
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    run = next(run for run in client.search_runs([experiment]) if run.data.tags[KIND] == "run")
    if change is None:
        client.delete_tag(run.info.run_id, name)
    else:
        client.set_tag(run.info.run_id, name, change(run.data.tags[name]))
    return run.info.run_id


SPOILED = {
    "no documents": (f"{TAG}.0", None, "Error -5|incomplete|cut off"),
    "no digest": (DIGEST, None, "lacks 'sparsebench.record'"),
    "another record's digest": (DIGEST, lambda text: text[::-1], "not what was mirrored"),
    "cut": (f"{TAG}.0", lambda text: text[:400], "cut off"),
    "not packed": (f"{TAG}.0", lambda text: "<script>", "base64"),
    "packed, but no object": (f"{TAG}.0", lambda text: base64.b64encode(zlib.compress(b"[1]")).decode(), "indices"),
    "documents of nothing": (
        f"{TAG}.0", lambda text: base64.b64encode(zlib.compress(b"{}")).decode(), "lacks 'config'"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "told"), SPOILED.values(), ids=SPOILED)
def test_a_run_that_is_not_what_was_mirrored_is_refused_in_one_line(tmp_path, store, name, change, told):
    mirror([fixture.write(tmp_path / "runs", fixture.config(seed=seed)) for seed in range(2)], *store)
    run = spoil(store, name, change)
    with pytest.raises(UserError, match=told) as caught:
        mirrored.read_all(store[0])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"MLflow run {run} (record digits_lenet-300-100_rigl_0.9_torch_seed")
    assert line.endswith("or delete the run")


def test_runs_with_the_same_damage_share_a_line(tmp_path, store, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(documents, "FORM", b"1")
        mirror([fixture.write(tmp_path / "runs", fixture.config(seed=seed)) for seed in range(3)], *store)
    with pytest.raises(UserError, match=r"^MLflow run \w+ \(record [^\n]*\) and 2 more cannot be read [^\n]*$"):
        mirrored.read_all(store[0])
    assert mirror(records.read_all(tmp_path / "runs"), *store) == Outcome(replaced=3)
    assert len(mirrored.read_all(store[0])) == 3


def test_documents_that_are_no_record_are_refused(tmp_path):
    found = fixture.write(tmp_path, fixture.config())
    texts = dict(documents.texts(found))
    for name, text in (
        ("result", b"[]"),
        ("config", b"{}"),
        ("config", texts["config"].replace(b'"schema": 1', b'"schema": 9')),
    ):
        with pytest.raises((KeyError, TypeError, ValueError)):
            documents.record(texts | {name: text}, tmp_path, tmp_path.joinpath)


def test_what_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    tags = tags_of(fixture.write(tmp_path, fixture.config()))
    monkeypatch.setattr(documents, "LIMIT", 100)
    with pytest.raises(ValueError, match="larger than any record's"):
        documents.unpacked(tags)


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), min_size=3, max_size=3))
def test_texts_come_back_as_they_were(contents):
    texts = dict(zip(records.BRIEF, (content.encode() for content in contents), strict=True))
    tags = documents.packed(texts)
    assert all(len(value) <= documents.ROOM for value in tags.values())
    assert documents.unpacked(tags | {DIGEST: documents.digest(texts)}) == texts


def test_a_mirror_that_was_interrupted_is_not_shown(tmp_path, store, monkeypatch):
    first, second = (fixture.write(tmp_path / "runs", fixture.config(seed=seed)) for seed in range(2))
    assert mirror([first], *store) == Outcome(new=1)

    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking.load(), "log_artifact", interrupt)
        with pytest.raises(KeyboardInterrupt):
            mirror([second], *store)
    assert [record.id for record in mirrored.read_all(store[0])] == [first.id]


def test_a_store_without_our_runs_is_an_empty_board(store):
    assert mirrored.read_all(store[0]) == []


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.db is not there"):
        mirrored.read_all(f"sqlite:///{tmp_path}/nothing.db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"MLflow store http://127\.0\.0\.1:1 cannot be used"):
        mirrored.read_all("http://user:secret@127.0.0.1:1")
    with pytest.raises(UserError, match="gopher://x cannot be used"):
        mirrored.read_all("gopher://x")
