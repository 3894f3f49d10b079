"""A run that is ended anywhere and begun again ends as if it had never stopped; damaged checkpoints are passed over."""

import errno
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from sparsebench import bounded, checkpoints, records, runner
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
