"""A run that is ended anywhere and begun again ends as if it had never stopped; damaged checkpoints are passed over."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsebench import bounded, checkpoints, records, redoing, runner
from sparsebench.asked import Search, asked
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.prepare import prepare
from sparsebench_board.comparing import compared

STEPS = 60
METHODS = ("dense", "rigl", "set", "snfs", "snfs-redistributed", "pruning", "snip", "srigl", "granet", "acdc")


class Cut(BaseException):
    """The process dies, as far as a test in the same one can have it."""


def config(method, backend, **settings):
    return RunConfig(
        model="lenet-300-100", dataset="digits", method=method, sparsity=0.0 if method == "dense" else 0.9,
        backend=backend, recipe=Recipe(steps=STEPS, batch_size=32, evaluations=3), updates=Updates(delta_t=7),
        **settings,
    )  # fmt: skip


def prepared(method, backend, **settings):
    return prepare(config(method, backend, **settings))


def cut_at(done):
    """Progress that dies once so many steps are done, after the checkpoint before and before the one then due."""

    def progress(now, steps):
        if now >= done:
            raise Cut

    return progress


def cut_run(run, root, done):
    with pytest.raises(Cut):
        runner.run(run, root, progress=cut_at(done), keep=runner.Keep(0))


def same(first, second):
    """What differs between two records but times and where a run was continued."""
    found = [records.read(path) for path in (first, second)]
    for record in found:
        record.environment.pop("resumed", None)
    assert list(found[0].masks()) == list(found[1].masks()), "in the order of the layers"
    moved = [record.movement() for record in found]
    if any(moved):
        first, second = (one.arrays() for one in moved)
        assert all(np.array_equal(first[name], second[name]) for name in first)
    return [part for part in compared(*found) if part.differences]


def whole(path):
    """The newest checkpoints' names."""
    return sorted(int(each.name) for each in path.iterdir() if each.name.isdigit())


# ---- to the bit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_cut_anywhere_and_continued_is_never_cut(backend, method, tmp_path):
    run = prepared(method, backend.name)
    straight = runner.run(run, tmp_path / "straight")
    for done in (2, 21, 22, 40, STEPS):
        cut_run(run, tmp_path / "cut", done)
    again = runner.run(run, tmp_path / "cut")
    assert same(straight, again) == []
    assert len(records.read(again).environment["resumed"]) == 5, "each cut came after a checkpoint"


def test_weights_to_rewind_to_survive(backend, tmp_path):
    run = prepared("dense", backend.name, rewind=20)
    straight = runner.run(run, tmp_path / "straight")
    cut_run(run, tmp_path / "cut", 40)
    again = runner.run(run, tmp_path / "cut")
    first, second = (records.read(path).rewind() for path in (straight, again))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_round_of_a_ticket_search_continues(backend, tmp_path):
    given = asked(config("lottery", backend.name), Search())
    for name in ("straight", "cut"):
        *rounds, last = prepare_all([given], None, tmp_path / name)
        for entry in rounds:
            runner.run(entry.prepared, tmp_path / name)
    cut_run(last.prepared, tmp_path / "cut", 30)
    ends = [runner.run(last.prepared, tmp_path / name) for name in ("straight", "cut")]
    assert same(*ends) == []


# ---- what is kept ---------------------------------------------------------------------------------------------


def test_the_last_two_are_kept_and_none_of_a_finished_run(backend, tmp_path):
    run = prepared("rigl", backend.name)
    cut_run(run, tmp_path, 50)
    place = checkpoints.folder(tmp_path, run.id)
    kept = whole(place)
    assert len(kept) == 2
    assert 40 <= kept[0] < kept[1] < 50
    path = runner.run(run, tmp_path)
    assert list(tmp_path.iterdir()) == [path], "nothing is left of them"


@pytest.mark.parametrize("name", ["progress.json", "state.safetensors"])
@pytest.mark.parametrize("how", ["flipped", "torn", "missing"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(name, how, tmp_path):
    run = prepared("rigl", "torch")
    straight = runner.run(run, tmp_path / "straight")
    cut_run(run, tmp_path / "cut", 50)
    place = checkpoints.folder(tmp_path / "cut", run.id)
    before, newest = whole(place)
    file = place / f"{newest:012d}" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(content if how == "flipped" else content[:-9])
    told = []
    again = runner.run(run, tmp_path / "cut", keep=runner.Keep(tell=told.append))
    assert len(told) == 1
    assert str(file.parent) in told[0]
    assert "is damaged" in told[0]
    assert "going back to the one before" in told[0]
    assert records.read(again).environment["resumed"] == [before]
    assert same(straight, again) == []


def test_with_every_checkpoint_damaged_it_begins_from_the_start(tmp_path):
    run = prepared("set", "torch")
    cut_run(run, tmp_path, 50)
    for file in checkpoints.folder(tmp_path, run.id).glob("*/progress.json"):
        file.write_text("{}")
    told = []
    assert "resumed" not in records.read(runner.run(run, tmp_path, keep=runner.Keep(tell=told.append))).environment
    assert [line.rsplit(": ")[-1] for line in told] == [
        "going back to the one before", "the run begins from the start",
    ]  # fmt: skip


def unreadable(path):
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def forbidden(path):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


PASSING = {
    "memory": (bounded, "_limits", lambda: iter([1_000_000]), "bytes, which is more than .* free memory, or remove"),
    "disk": (bounded, "_opened", unreadable, r"Input/output error.* mend what the system says, or remove"),
    "rights": (bounded, "_opened", forbidden, r"Permission denied.* mend what the system says, or remove"),
    "schema": (checkpoints, "SCHEMA", checkpoints.SCHEMA + 1, "go on with the version .* that wrote it, or remove"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_be_whole_is_kept_and_the_run_does_not_begin_anew(name, tmp_path, monkeypatch):
    run = prepared("rigl", "torch")
    cut_run(run, tmp_path, 50)
    place = checkpoints.folder(tmp_path, run.id)
    before, newest = whole(place)
    owner, attribute, failing, told = PASSING[name]
    with monkeypatch.context() as patch:
        patch.setattr(owner, attribute, failing)
        with pytest.raises(UserError, match=f"{newest} cannot be read now .*{told}.* go back to the one before"):
            runner.run(run, tmp_path, keep=runner.Keep(0))
        shutil.rmtree(place / f"{newest:012d}")
        with pytest.raises(UserError, match=f"{before} cannot be read now .*{told}.* begin from the start"):
            runner.run(run, tmp_path, keep=runner.Keep(0))
    assert records.read(runner.run(run, tmp_path)).environment["resumed"] == [before]


def test_a_checkpoint_of_other_settings_is_refused_with_what_differs(tmp_path):
    run, other = prepared("rigl", "torch"), prepared("rigl", "torch", seed=1)
    cut_run(run, tmp_path, 30)
    checkpoints.folder(tmp_path, run.id).rename(checkpoints.folder(tmp_path, other.id))
    with pytest.raises(UserError, match=r"config\.seed 0 there, 1 here.*remove that folder"):
        runner.run(other, tmp_path)


def test_other_versions_than_the_checkpoints_are_told(tmp_path):
    run = prepared("rigl", "torch")
    cut_run(run, tmp_path, 30)
    found = checkpoints.latest(tmp_path, run.identity, print)
    older = {**found.environment, "packages": {**found.environment["packages"], "torch": "1.0"}}
    checkpoints.write(tmp_path, replace(found, environment=older))
    told = []
    runner.run(run, tmp_path, keep=runner.Keep(tell=told.append))
    assert len(told) == 1
    assert f"run {run.id} goes on, but need not to the bit" in told[0]
    assert "packages.torch '1.0' there, '" in told[0]


def test_what_was_found_damaged_does_not_outlive_a_newer_checkpoint(tmp_path):
    run = prepared("rigl", "torch")
    cut_run(run, tmp_path, 30)
    place = checkpoints.folder(tmp_path, run.id)
    before, newest = whole(place)
    (place / f"{newest:012d}" / "progress.json").write_text("{}")
    found = checkpoints.latest(tmp_path, run.identity, print)
    assert found.done == before
    checkpoints.write(tmp_path, replace(found, done=before - 1))
    assert whole(place) == [before - 1]


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    run = prepared("rigl", "torch")
    left = checkpoints.folder(tmp_path, run.id) / ".partial-left"
    left.mkdir(parents=True)
    (left / "state.safetensors").write_bytes(b"half")
    cut_run(run, tmp_path, 30)
    assert not left.exists()


def test_a_checkpoint_tells_all_it_was_given(tmp_path):
    event = {"kind": "train", "start": 0, "stop": 12, "loss": 0.1, "seconds": 0.5}
    made = checkpoints.Checkpoint(
        {"id": "run", "config": {"seed": 0}}, 12, {"fc": 3}, {"fc": {"forward": 7}}, [event],
        1.5, (4, 8), {"weight": np.arange(3, dtype=np.float32)}, {"bits": np.arange(4, dtype=np.uint8)},
        {"weight": np.ones(2, np.float32)},
    )  # fmt: skip
    found = checkpoints.read(checkpoints.write(tmp_path, made))
    for name in ("identity", "done", "active", "executed", "events", "seconds", "resumed"):
        assert getattr(found, name) == getattr(made, name)
    for name, key in (("state", "weight"), ("notes", "bits"), ("rewind", "weight")):
        np.testing.assert_array_equal(getattr(found, name)[key], getattr(made, name)[key])
    assert checkpoints.read(checkpoints.write(tmp_path, replace(made, done=13, rewind=None))).rewind is None


# ---- to disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def forced(monkeypatch):
    """What is forced to disk, renamed and deleted, in order: ("fsync", path), ("rename", to), ("delete", path)."""
    steps, sync, rename, rmtree = [], os.fsync, Path.rename, shutil.rmtree

    def fsync(descriptor):
        steps.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def renamed(path, target):
        steps.append(("rename", path, Path(target)))
        return rename(path, target)

    def removed(path, **settings):
        steps.append(("delete", Path(path)))
        rmtree(path, **settings)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(shutil, "rmtree", removed)
    return steps


def check_forced(steps, target, folders):
    """All that is in `target` is on disk before it gets that name, and the name is before anything goes."""
    (at,) = (k for k, step in enumerate(steps) if step[0] == "rename" and step[2] == target)
    new = steps[at][1]
    before = [step[1] for step in steps[:at] if step[0] == "fsync"]
    assert {path.name for path in before if path.parent == new} == {path.name for path in target.iterdir()}
    assert before[-1] == new, "the folder itself, after what is in it"
    after = steps[at + 1 :]
    assert [("fsync", folder) for folder in folders] == after[: len(folders)]


def test_a_checkpoint_is_on_disk_before_the_one_before_goes(forced, tmp_path):
    made = checkpoints.Checkpoint(
        {"id": "run", "config": {}}, 1, {}, {}, [], 1.5, (), {"weight": np.zeros(3)}, {"bits": np.zeros(4)}
    )
    places = []
    for done in (1, 2, 3):
        forced.clear()
        places.append(checkpoints.write(tmp_path, replace(made, done=done)))
        outer = (tmp_path / checkpoints.FOLDER, tmp_path) if done == 1 else ()
        check_forced(forced, places[-1], (places[-1].parent, *outer))
    assert ("delete", places[0]) in forced


def test_a_record_is_on_disk_before_its_checkpoints_go(forced, tmp_path):
    run = prepared("rigl", "torch")
    path = runner.run(run, tmp_path, keep=runner.Keep(0))
    check_forced(forced, path, (tmp_path,))
    gone, flushed = forced.index(("delete", checkpoints.folder(tmp_path, run.id))), forced.index(("fsync", tmp_path))
    assert flushed < gone
    redoing.mark(tmp_path, [run.id])
    forced.clear()
    runner.run(run, tmp_path)
    old = redoing.before(tmp_path, run.id)
    (placed,) = (k for k, step in enumerate(forced) if step[0] == "rename" and step[2] == old)
    assert forced[placed + 1 : placed + 3] == [("fsync", old.parent), ("fsync", tmp_path)]
    assert ("fsync", forced[placed][1]) in forced[:placed]
    assert forced.index(("delete", checkpoints.folder(tmp_path, run.id))) > placed + 2


# ---- real processes -------------------------------------------------------------------------------------------

HERE = Path(__file__).parent
ALONE = {
    "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false", "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}  # fmt: skip
ANNOUNCING = """
import sys
from sparsebench import runner
from sparsebench.cli import main
train = runner.Run.train
def announced(run, start, stop):
    train(run, start, stop)
    print(f"trained {stop}", flush=True)
runner.Run.train = announced
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_a_checkpoint_first(number, code, tmp_path):
    """No time is long enough for one to be kept by itself."""
    command = [
        sys.executable, "-c", ANNOUNCING, "train", "--recipe.steps", "100000", "--no-mlflow",
        "--records", str(tmp_path), "--checkpoint-every", "1000000",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert all(line.startswith("trained ") for line in lines)
    (kept,) = tmp_path.glob(".checkpoints/*/*/progress.json")
    done = json.loads(kept.read_text().splitlines()[1])["done"]
    trained = int((lines + out.splitlines())[-1].split()[1])
    assert done == int(kept.parent.name)
    assert 0 < trained <= done <= trained + 1, "at the end of the segment, its update included"


@pytest.mark.slow
def test_killed_while_it_trains_and_begun_again_is_never_killed(backend, tmp_path):
    """SIGKILL comes once a child has announced its n-th segment, update, evaluation or checkpoint."""
    caches = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    out = subprocess.run(
        [sys.executable, HERE / "killed_in_training.py", backend.name, tmp_path],
        env=os.environ | ALONE | caches, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    *killed, last = out.stdout.splitlines()
    assert last == "None"
    assert len(killed) >= 4
    assert "None" not in killed
    (straight,), (again,) = (records.paths(tmp_path / name) for name in ("straight", "killed"))
    resumed = records.read(again).environment["resumed"]
    assert len(resumed) == len(killed), "each began where the one before was killed"
    assert 0 < resumed[0] < resumed[-1] < STEPS
    assert resumed == sorted(set(resumed))
    assert same(straight, again) == []
