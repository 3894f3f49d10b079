"""Whatever fails around a suite, it goes on and says so, and the same command later does exactly what is missing."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

import records_fixture as fixture
import toy
from faulty_mlflow import FAULTS
from sparsebench import checkpoints, records, runner, tensors
from sparsebench import suite as suites
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench.prepare import prepare
from sparsebench_board import mirror, tracking
from sparsebench_board.documents import RUN
from sparsebench_board.entries import KIND

pytest_plugins = ("command_line", "mlflow_store", "faulty_mlflow")
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader:DeprecationWarning",  # MLflow's, on import
    "ignore::DeprecationWarning:mlflow", "ignore::ResourceWarning",
)  # fmt: skip


def ids(root="runs"):
    return [path.name for path in records.paths(Path(root))]


def whole(root="runs"):
    """All records can be read, every part of them, and nothing half-written is left."""
    for record in records.read_all(Path(root)):
        record.events(), record.masks(), record.weights(), record.movement()
    return not list(Path(root).rglob(".partial-*"))


def held(uri):
    """Records that a store holds as finished runs, each as often as it does."""
    client = tracking.connect(uri)
    found = client.get_experiment_by_name(tracking.EXPERIMENT)
    runs = client.search_runs([found.experiment_id]) if found else []
    return sorted(run.data.tags[RUN] for run in runs if run.data.tags[KIND] == "run" and run.info.status == "FINISHED")


def suite(seeds, name="toys.toml"):
    Path(name).write_text(toy.SUITE.replace("seeds = 2", f"seeds = {seeds}"))


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """How many runs were begun since the last call."""
    log = tmp_path / "begun"
    monkeypatch.setenv(toy.LOG, str(log))

    def count():
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return len(lines)

    return count


# ---- MLflow ---------------------------------------------------------------------------------------------------


@pytest.fixture
def faulty(mlflow_server, monkeypatch):
    """The server, healthy and without runs, and a client that does not wait for long."""
    mlflow_server.heal()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(mirror, "START", 4.0)
    monkeypatch.setattr(mirror, "EACH", 0.0)
    client = tracking.connect(mlflow_server.uri)
    if found := client.get_experiment_by_name(tracking.EXPERIMENT):
        for run in client.search_runs([found.experiment_id]):
            client.delete_run(run.info.run_id)
    return mlflow_server


@pytest.mark.parametrize("after", [0, 20])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_at_any_time_costs_a_warning(faulty, tmp_path, capsys, fault, after):
    found = [fixture.write(tmp_path / "there", fixture.config(seed=seed)).id for seed in range(3)]
    line = ["import", str(tmp_path / "there"), "--records", str(tmp_path / "runs")]
    faulty.fail(fault, after)
    assert main(line) == 0
    told = capsys.readouterr()
    assert "MLflow" in told.err, told
    (warning,) = told.err.splitlines()
    assert warning.startswith("warning: MLflow runs: ")
    assert warning.endswith("mirrors the rest")
    assert "records are complete" in warning
    faulty.heal()
    before = held(faulty.uri)
    assert len(before) < 3
    assert main(line) == 0
    assert f"{3 - len(before)} new" in (out := capsys.readouterr().out) or "replaced" in out
    assert held(faulty.uri) == sorted(found)
    asked = faulty.requests
    assert main(line) == 0
    assert faulty.requests == asked, "it is known to hold them"


def test_a_suite_goes_on_without_its_server(whole_command, faulty, begun):
    faulty.fail("gone", 30)
    code, out, err = whole_command("run", "toys.toml")
    assert (code, len(ids()), begun()) == (0, 4, 4)
    assert any(line.startswith("rigl") for line in out), "the board is there"
    (warning,) = err
    assert "records are complete, `sparsebench ui` mirrors the rest" in warning
    faulty.heal()
    code, out, err = whole_command("run", "toys.toml")
    assert (code, err, begun()) == (0, [], 0)
    assert held(faulty.uri) == ids()


def test_a_server_that_is_too_slow_is_given_up_and_what_is_left_behind_begins_nothing(faulty, tmp_path, monkeypatch):
    found = [fixture.write(tmp_path, fixture.config(seed=seed)) for seed in range(3)]
    monkeypatch.setattr(mirror, "START", 0.0)
    slow, left, behind = threading.Event(), [], mirror._mirror_cells

    def waiting(*given):
        slow.wait()
        with pytest.raises(UserError, match="too slow") as raised:
            behind(*given)
        left.append(raised)

    monkeypatch.setattr(mirror, "_mirror_cells", waiting)
    outcome = mirror.mirror(found, faulty.uri, tmp_path)
    assert outcome == mirror.Outcome(failed=3, reasons=("it is too slow: not done after 0 s",))
    slow.set()
    for thread in [each for each in threading.enumerate() if "_settle" in each.name]:
        thread.join(30)
    assert (len(left), held(faulty.uri)) == (1, [])


DRIPPING = """
import sys, threading
from sparsebench.cli import main
from sparsebench_board import mirror
mirror.START, mirror.EACH = 2.0, 0.0
code = main(sys.argv[1:])
assert any("_settle" in thread.name for thread in threading.enumerate()), "it still reads"
sys.exit(code)
"""


def test_a_process_ends_though_its_server_never_does(faulty, tmp_path):
    fixture.write(tmp_path / "there", fixture.config())
    faulty.fail("drips")
    line = ["import", str(tmp_path / "there"), "--records", str(tmp_path / "runs")]
    ended = subprocess.run([sys.executable, "-c", DRIPPING, *line], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "MLflow runs: 1 failed (it is too slow: not done after 2 s); records are complete" in ended.stderr


def test_a_database_that_is_locked_all_the_time(whole_command, migrated, begun, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    Path("runs").mkdir()
    path = shutil.copy(migrated, "runs/mlflow.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, out, err = whole_command("run", "toys.toml")
    assert (code, len(ids()), begun(), len(err)) == (0, 4, 4, 1)
    assert "database is locked" in err[0]
    assert "records are complete" in err[0]
    code, out, err = whole_command("run", "toys.toml")
    assert (code, out[-2:], err, begun()) == (0, ["MLflow runs: 4 new", "next: sparsebench ui"], [], 0)
    assert held(f"sqlite:///{Path('runs/mlflow.db').absolute()}") == ids()


# ---- several at once ------------------------------------------------------------------------------------------


def test_the_same_suite_twice_and_another_at_once_on_one_store(toys, migrated, begun):
    suite([0, toy.SLOW])
    suite([toy.SLOW, 1], "others.toml")
    Path("runs").mkdir()
    shutil.copy(migrated, "runs/mlflow.db")
    path = os.pathsep.join((str(toys.parent / "site"), str(Path(toy.__file__).parent)))
    call = [sys.executable, "-c", "import sys; from sparsebench.cli import main; sys.exit(main())", "run"]
    started = [
        subprocess.Popen(
            [*call, *words, "--workers", "1"], env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for words in (["toys.toml"], ["toys.toml"], ["others.toml", "--no-mlflow"])
    ]  # fmt: skip
    ended = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert [err for _, err in ended] == ["", "", ""]
    assert (len(ids()), begun()) == (6, 6), "each was trained once"
    assert whole()
    assert len(held(f"sqlite:///{Path('runs/mlflow.db').absolute()}")) == 4, "each of the suite's is there once"


# ---- a full disk ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(toys):
    """`runs` on a disk of a megabyte and a half; gives a function that makes it larger."""
    Path("runs").mkdir()
    size = ["-o", "size=1536k"]
    made = subprocess.run(["mount", "-t", "tmpfs", *size, "none", "runs"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(toys / "runs")], check=True)
    subprocess.run(["umount", "--lazy", str(toys / "runs")], check=True)


@pytest.mark.parametrize("free", [0, 8, 300], ids=lambda free: f"{free} kB free")
def test_a_full_disk(small_disk, command, begun, free):
    room = os.statvfs("runs")
    with open("runs/filler", "wb") as filler:
        filler.write(bytes(max(0, room.f_bavail * room.f_frsize - 1024 * free)))
    code, _, err = command("run", "toys.toml", "--workers", "1")
    done = len(ids())
    assert code == (1 if done < 4 else 0)
    assert begun() <= 4
    assert done < 4
    assert any(
        "No space left on device): is there room" in line or "No space left on device): give" in line for line in err
    )
    assert len(err) <= 3, "runs that failed alike are told in one line"
    assert whole()
    small_disk()
    code, _, err = command("run", "toys.toml", "--workers", "1")
    assert (code, err, len(ids()), begun()) == (0, [], 4, 4 - done)


def test_a_store_on_a_full_disk(small_disk, toys, migrated, capsys):
    """Records fit, and what MLflow writes does not."""
    fixture.write(Path("there"), fixture.config())
    small_disk()
    shutil.copy(migrated, "runs/mlflow.db")
    room = os.statvfs("runs")
    with open("runs/filler", "wb") as filler:
        filler.write(bytes(room.f_bavail * room.f_frsize - 48 * 1024))
    assert main(["import", "there"]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "records are complete" in warning
    assert whole()
    Path("runs/filler").unlink()
    assert main(["import", "there"]) == 0
    assert capsys.readouterr().err == ""
    assert held(f"sqlite:///{Path('runs/mlflow.db').absolute()}") == ids()


def test_no_room_for_a_checkpoint_stops_no_run(toys, monkeypatch):
    def full(path, arrays, metadata):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told, asked, write = [], suites.runs(suites.load("toys.toml"))[-1], tensors.write
    monkeypatch.setattr(toy.Toy, "snapshot", lambda self, state: {}, raising=False)
    monkeypatch.setattr(tensors, "write", lambda *given: write(*given) if told else full(*given))
    path = runner.run(prepare(asked.config), Path("runs"), keep=runner.Keep(0, told.append))
    assert records.read(path).result["steps"] == 12
    assert told == ["checkpoints in runs cannot be written (No space left on device): is there room?"]


def test_what_happens_to_checkpoints_in_workers_is_told(command):
    first, last = (prepare(asked.config).id for asked in suites.runs(suites.load("toys.toml"))[::3])
    for id, done in ((first, 4), (first, 6), (last, 6)):
        place = checkpoints.folder(Path("runs"), id) / f"{done:012d}"
        place.mkdir(parents=True)
        (place / checkpoints.PROGRESS).write_text("{}")
    code, _, err = command("run", "toys.toml", "--workers", "1")
    assert (code, len(err)) == (0, 3)
    told = [line.partition(" is damaged (progress.json does not match its digest): ")[::2] for line in err]
    assert sorted(told) == sorted([
        (f"warning: checkpoint runs/.checkpoints/{first}/000000000006", "going back to the one before"),
        (f"warning: checkpoint runs/.checkpoints/{first}/000000000004", "the run begins from the start"),
        (f"warning: checkpoint runs/.checkpoints/{last}/000000000006", "the run begins from the start"),
    ])  # fmt: skip


# ---- workers that die -----------------------------------------------------------------------------------------


def test_what_workers_lost_is_all_that_is_done_again(command, begun):
    suite([0, toy.KILLED, toy.GREEDY, toy.CRASH])
    code, out, err = command("run", "toys.toml", "--workers", "2")
    assert (code, len(ids()), begun()) == (1, 2, 8)
    assert any("ended by SIGKILL, perhaps for lack of memory: use fewer --slots" in line for line in err)
    assert any("out of memory (Unable to allocate" in line and "use fewer --slots" in line for line in err)
    assert any("RuntimeError: the toy broke" in line for line in err)
    assert whole()
    Path(toy.MENDED).touch()
    code, out, err = command("run", "toys.toml", "--workers", "2")
    assert (code, err, len(ids()), begun()) == (0, [], 8, 6)
    assert out[0].startswith("6 of 8 runs to do")
