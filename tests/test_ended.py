"""What a run keeps is on disk before anything goes, and real processes that are ended go on as if they never were."""

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

from sparsebench import checkpoints, records, redoing, runner
from test_resume import STEPS, prepared, same

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
    assert 2 <= len(resumed) <= len(killed), "one that is killed before its first checkpoint begins where it had begun"
    assert 0 < resumed[0] < resumed[-1] < STEPS
    assert resumed == sorted(set(resumed))
    assert same(straight, again) == []
