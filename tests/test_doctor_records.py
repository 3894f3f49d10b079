"""`sparsebench doctor` on records: each planted trouble is found, told with what to do, and nothing is changed."""

import json
import os
import shutil

import numpy as np
import pytest

import records_fixture as fixture
from damage import flip
from examined import first, the_one, told
from sparsebench import aside, checkpoints, holdings, index, records, redoing, seals
from sparsebench.cli import main
from sparsebench.doctor import AREAS, recorded
from sparsebench_board import receipts

pytest_plugins = ("command_line", "examined")


DAMAGE = {
    "a bit of weights": lambda path: flip(path / "weights.safetensors"),
    "a line less": lambda path: (path / "events.jsonl").write_text(
        "".join((path / "events.jsonl").read_text().splitlines(True)[:-1])
    ),
    "no config": lambda path: (path / "config.json").unlink(),
    "torn events": lambda path: (path / "events.jsonl").write_text('{"kind": '),
    "masks of other bits": lambda path: shutil.copy(path / "weights.safetensors", path / "masks.safetensors"),
    "torn weights": lambda path: (path / "weights.safetensors").write_bytes(
        (path / "weights.safetensors").read_bytes()[:-4]
    ),
    "no weights": lambda path: (path / "weights.safetensors").unlink(),
    "half": lambda path: (path / "result.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_found_and_the_remedy_is_a_command(damage, runs):
    path = first(runs)
    damage(path)
    found = [*told(recorded.readable, runs), *told(recorded.halves, runs)]
    (what,) = [what for level, what in found if level == "problem"]
    assert f"→ sparsebench rm {path.name}" in what
    assert ("ok", "1 records can be read → ") in found


def test_records_without_digests_are_told_and_sound(runs):
    assert told(recorded.unsealed, runs) == []
    name = fixture.unsealed(first(runs)).name
    level, what = the_one(recorded.unsealed, runs)
    assert level == "warning"
    assert what.startswith(f"damage may go unseen in records of older versions, which have no SHA256SUMS: {name} → ")
    assert the_one(recorded.readable, runs) == ("ok", "2 records can be read → ")


def test_a_folder_of_another_name(runs):
    path = first(runs)
    path.rename(runs / "renamed")
    assert ("problem", f"record {runs / 'renamed'} holds the run {path.name} → rename the folder to that") in told(
        recorded.readable, runs
    )


def test_what_killed_processes_have_left(runs):
    left = runs / ".partial-left"
    left.mkdir()
    (left / "file").write_bytes(b"x" * 1500)
    with aside.alone(left):
        assert told(recorded.partial, runs) == [], "somebody is writing it"
    level, what = the_one(recorded.partial, runs)
    assert level == "warning"
    assert what.startswith("1 half-written folders of processes that were killed, 1.5 kB")


def test_unfinished_runs_with_their_checkpoints(runs):
    identity = json.loads((first(runs) / "config.json").read_text()) | {"id": "some-run"}
    for done in (3, 6):
        made = checkpoints.Checkpoint(identity, done, {}, {}, [], 1.0, (), {"w": np.zeros(3)}, {"n": np.zeros(1)})
        path = checkpoints.write(runs, made)
    long_ago = path.stat().st_mtime - 3.2 * 86400
    os.utime(path.parent, (long_ago, long_ago))
    level, what = the_one(recorded.unfinished, runs)
    assert level == "warning"
    assert what.startswith("1 unfinished run with ")
    assert "the oldest of 3 days ago: some-run → " in what
    (path / checkpoints.PROGRESS).write_text("{}")
    assert any(f"checkpoint {path} is damaged" in what for _, what in told(recorded.unfinished, runs))
    with checkpoints.held(runs, "some-run"):
        assert the_one(recorded.unfinished, runs) == ("ok", "1 runs are being trained now: some-run → ")


def test_what_again_has_left(runs):
    path = first(runs)
    assert told(recorded.again, runs) == []
    redoing.mark(runs, [path.name])
    shutil.copytree(path, redoing.before(runs, path.name))
    marked, kept = told(recorded.again, runs)
    assert marked[1].startswith(f"1 runs are still to be done again, of an --again that was interrupted: {path.name}")
    assert f"sparsebench compare {redoing.before(runs, path.name)} {path}" in kept[1]


@pytest.fixture
def indexed(runs, monkeypatch):
    """The same, with an index as a board leaves it."""
    monkeypatch.setattr(index, "SETTLED", -(10**9))
    index.read_all(runs)
    assert (runs / index.NAME).is_file()
    return runs


def test_a_sound_index_is_nothing_to_tell(indexed):
    assert told(recorded.indexed, indexed) == []
    (indexed / index.NAME).unlink()
    assert told(recorded.indexed, indexed) == []


def _piped(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _endless(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


NO_FILES = {"a pipe": _piped, "a device without end": _endless}


@pytest.mark.parametrize(
    "spoil", [flip, lambda path: path.write_text("{"), lambda path: path.write_bytes(b""), *NO_FILES.values()]
)
def test_a_broken_index_is_told(indexed, spoil):
    spoil(indexed / index.NAME)
    assert the_one(recorded.indexed, indexed)[0] == "warning"


@pytest.mark.parametrize("spoil", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("name", [*records.ALL, index.NAME, receipts.NAME, ".partial-x", seals.NAME])
def test_what_is_no_file_is_not_waited_for_and_not_read(runs, monkeypatch, capsys, name, spoil):
    """Neither by the doctor nor by the command that its remedy names."""
    monkeypatch.setattr("sparsebench.doctor.AREAS", {"records": AREAS["records"]})
    place = runs / name if name.startswith(".") else fixture.unsealed(first(runs)) / name
    spoil(place)
    assert main(["doctor", "--records", str(runs)]) == (0 if name.startswith(".") else 1)
    assert "failed: " not in capsys.readouterr().out
    assert main(["rm", first(runs).name, "--records", str(runs), "--yes", "--no-mlflow"]) == 0


def test_a_checkpoint_that_is_no_file_is_not_read(runs):
    place = checkpoints.folder(runs, "x") / "000000000007"
    place.mkdir(parents=True)
    _endless(place / checkpoints.PROGRESS)
    assert holdings.one(runs, "x").config is None


def test_records_that_are_no_folder_are_refused(command, folder):
    (folder / "file").touch()
    for given in ("file", "/dev/null"):
        code, out, err = command("doctor", "--records", given)
        assert (code, out) == (2, [])
        assert err == [
            f"error: --records {given}: no folder is there, but something else; give a folder, or leave it out"
        ]


def test_no_records_yet(tmp_path):
    assert the_one(recorded.readable, tmp_path / "none")[0] == "ok"
    for check in AREAS["records"][1:]:
        assert told(check, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
