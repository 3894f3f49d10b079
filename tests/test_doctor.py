"""`sparsebench doctor`: each planted trouble is found, told with what to do, and nothing is changed by looking."""

import json
import os
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

import dying
import records_fixture as fixture
from examined import the_one, told
from sparsebench import records
from sparsebench.cli import doctor as cli
from sparsebench.data import fetch
from sparsebench.data.fetch import Archive
from sparsebench.data.packing import PackedFile
from sparsebench.doctor import AREAS, data, devices, examined, installation, isolated, recorded, space, store
from sparsebench.doctor.finding import Place, ok, problem, warning
from sparsebench.worker import Failed, Finished
from sparsebench_board import receipts
from sparsebench_board.entries import digest

pytest_plugins = ("command_line", "examined")


# ---- the whole ------------------------------------------------------------------------------------------------


def test_the_command_finds_broken_plugins_and_changes_nothing(command, folder):
    fixture.write(folder / "runs", fixture.config())
    before = dying.tree(folder)
    code, out, err = command("doctor", "--format", "json")
    found = json.loads("\n".join(out))
    assert (code, err) == (1, [])
    assert dying.tree(folder) == before
    by_area = {area: [row for row in found["findings"] if row["area"] == area] for area in AREAS}
    assert all(by_area.values())
    problems = [row for row in found["findings"] if row["level"] == "problem"]
    assert found["problems"] == len(problems) == 4
    assert {row["area"] for row in problems} == {"installation", "devices"}
    whats = " ".join(row["what"] for row in problems)
    for trouble in ("'broken'", "toy_that_is_not_there", "'wrong'", "'alias'", "the driver is older than the library"):
        assert trouble in whats
    assert all(row["remedy"] for row in problems)
    warned = [row for row in by_area["devices"] if row["level"] == "warning" and "no-such-package" in row["what"]]
    assert [row["remedy"] for row in warned] == ["pip install 'sparsebench[needy]'"]
    assert {"backend torch starts", "backend jax starts", "backend toy starts"} <= {
        row["what"] for row in by_area["devices"] if row["level"] == "ok"
    }


def test_lines_fit_and_the_exit_code_tells_problems(command, monkeypatch):
    findings = [ok("fine"), warning("long " * 30, "do this " * 20), problem("bad", "mend it")]
    monkeypatch.setattr(cli, "examined", lambda place: iter([("area", findings)]))
    code, out, _ = command("doctor")
    assert code == 1
    assert (out[0], out[1], out[-1]) == ("area", "  ok       fine", "1 problem, 1 warning")
    assert out[-3:-1] == ["  problem  bad", "           → mend it"]
    assert max(map(len, out)) <= 100
    monkeypatch.setattr(cli, "examined", lambda place: iter([("area", findings[:1])]))
    assert command("doctor")[:2] == (0, ["area", "  ok       fine", "all is well"])
    assert command("doctor", "--data", "nowhere")[0] == 2


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch, runs):
    def breaks(place):
        yield ok("so far")
        raise RuntimeError("boom")

    areas = {"one": (breaks,), "two": (recorded.readable,)}
    monkeypatch.setattr("sparsebench.doctor.AREAS", areas)
    found = {area: list(findings) for area, findings in examined(Place(runs))}
    assert [each.level for each in found["one"]] == ["problem"]
    assert "breaks failed: RuntimeError: boom" in found["one"][0].what
    assert found["two"] == [ok("2 records can be read")]


def _dies(argument, report):
    if argument == "killed":
        os.kill(os.getpid(), 9)
    return argument


def test_a_question_whose_process_dies_costs_only_its_answer():
    ends = isolated.asked(_dies, {"fine": "x", "not": "killed"})
    assert ends["fine"] == Finished("x")
    assert isinstance(ends["not"], Failed)
    assert "SIGKILL" in ends["not"].reason


# ---- installation and devices -----------------------------------------------------------------------------------


def test_versions_out_of_range_and_missing_extras(monkeypatch, runs):
    versions = {"numpy": "1.26", "rich": None, "torch": "2.3.0", "optax": None}
    real = installation._version
    monkeypatch.setattr(
        installation, "_version", lambda name: versions.get(name, real(name)) if name in versions else real(name)
    )
    found = told(installation.packages, runs)
    assert ("problem", "numpy 1.26 is installed, sparsebench needs >=2.1 → pip install 'numpy>=2.1'") in found
    assert ("problem", "torch 2.3.0 is installed, sparsebench needs >=2.11 → pip install 'torch>=2.11'") in found
    assert any(what.startswith("rich is not installed") for _, what in found)
    extras = told(installation.extras, runs)
    assert ("warning", "optax not installed: needed for training in JAX → pip install 'sparsebench[jax]'") in extras
    assert any(what.startswith("torch: timm ") and "torch 2.3.0 (tested: " in what for _, what in extras)
    monkeypatch.setattr(installation.platform, "python_version", lambda: "3.9.1")
    assert the_one(installation.python, runs)[0] == "problem"


def test_gpus_that_backends_do_not_agree_on(monkeypatch):
    monkeypatch.setattr(devices, "_listed", lambda: ["Some GPU"])
    found = list(devices._gpus({"torch": None, "jax": "jax sees none"}))
    assert found[0] == ok("GPU: Some GPU; --device cuda in torch")
    assert [(each.level, each.what) for each in found[1:]] == [
        ("warning", "backend jax does not see the GPU: jax sees none")
    ]
    monkeypatch.setattr(devices, "_listed", list)
    assert list(devices._gpus({"torch": "no", "jax": "no"})) == [ok("no GPU: training is on the CPU")]


def test_what_a_container_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "CONTROL", tmp_path)
    monkeypatch.setattr(devices.environment, "threads", lambda: 8)
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "memory.max").write_text(f"{3 * 10**9}\n")
    (tmp_path / "memory.current").write_text(f"{2 * 10**9}\n")
    found = told(devices.cores, tmp_path)
    assert found[1] == (
        "warning", "this container's share is 2.5 cores, fewer than the 8 it sees → train with --slots 2",
    )  # fmt: skip
    assert the_one(devices.memory, tmp_path)[1].startswith("only 1.0 GB of memory free")
    for name in ("cpu.max", "memory.max"):
        (tmp_path / name).write_text("max 100000\n")
    assert len(told(devices.cores, tmp_path)) == 1


# ---- data -----------------------------------------------------------------------------------------------------


def test_data_sets_are_found_checked_and_never_downloaded(monkeypatch, tmp_path):
    content = b"pixels"
    archive = Archive(
        "some", "https://127.0.0.1:9/", (PackedFile("some.bin", len(content), sha256(content).hexdigest(), ("",)),)
    )
    monkeypatch.setattr(data, "_sources", lambda: iter([("some", archive), ("own", Archive("own", "", archive.files))]))
    monkeypatch.setattr(
        data, "asked", lambda work, given: {name: Finished(work(each, None)) for name, each in given.items()}
    )
    monkeypatch.setattr(fetch, "_downloaded", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARSEBENCH_DATA", raising=False)
    assert [what for _, what in told(data.archives, tmp_path)] == [
        "not here, downloaded when first used: some → ",
        "not here, never downloaded (name their folder with --data): own → ",
    ]
    assert not (tmp_path / "cache").exists()
    place = tmp_path / "cache" / "sparsebench" / "some"
    place.mkdir(parents=True)
    (place / "some.bin").write_bytes(content)
    assert told(data.archives, tmp_path)[0] == ("ok", f"some: whole, in {place} → ")
    (place / "some.bin").write_bytes(content[:-1])
    level, what = told(data.archives, tmp_path)[0]
    assert level == "problem"
    assert str(place / "some.bin") in what
    assert what.endswith("→ replace it with https://127.0.0.1:9/some.bin")
    level, what = told(data.archives, tmp_path, tmp_path)[0]
    assert (level, "has no some.bin" in what) == ("warning", True)
    assert what.endswith("→ get them from https://127.0.0.1:9/, or name no folder to have them downloaded")


# ---- MLflow and disk ------------------------------------------------------------------------------------------


@pytest.fixture
def base(runs, monkeypatch):
    """A database as MLflow makes one, as far as it is looked at without MLflow."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with closing(sqlite3.connect(runs / "mlflow.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.commit()
    return runs / "mlflow.db"


def answering(monkeypatch, end):
    monkeypatch.setattr(store, "asked", lambda work, given: {"store": end})


def test_a_store_that_lacks_records_or_has_older_ones(base, runs, monkeypatch):
    found = [*map(records.read, sorted(path for path in runs.iterdir() if path.is_dir()))]
    held = {record.id: digest(record) for record in found}
    answering(monkeypatch, Finished(held))
    assert [level for level, _ in told(store.usable, runs)] == ["ok", "ok"]
    answering(monkeypatch, Finished(held | {found[0].id: "older"}))
    level, what = told(store.usable, runs)[1]
    assert (level, what.partition(",")[0]) == ("warning", "MLflow lacks 1 of 2 records")
    receipts.remove(["gone"], f"sqlite:///{base}", runs)
    assert told(store.usable, runs)[2][1].startswith("1 runs that were removed are still in MLflow")


def test_stores_that_cannot_be_used(base, runs, monkeypatch):
    answering(monkeypatch, Failed("MLflow store sqlite:///x is away"))
    assert the_one(store.usable, runs)[0] == "problem"
    answering(monkeypatch, Failed("MlflowException: out-of-date: run `mlflow db upgrade`", logged=True))
    assert "mlflow db upgrade sqlite:" in the_one(store.usable, runs)[1]
    monkeypatch.setattr(store, "PATIENCE", 0.05)
    with closing(sqlite3.connect(base, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        level, what = the_one(store.usable, runs)
    assert (level, "database is locked" in what) == ("problem", True)
    base.write_bytes(b"no database" * 100)
    assert "is damaged" in the_one(store.usable, runs)[1]
    base.write_bytes(b"")
    assert the_one(store.usable, runs)[0] == "ok"
    assert base.read_bytes() == b"", "MLflow would have filled it"
    base.unlink()
    assert the_one(store.usable, runs)[1].startswith("no store yet")
    assert not base.exists()


def test_a_server_that_is_away(runs, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    level, what = the_one(store.usable, runs)
    assert level == "problem"
    assert "http://127.0.0.1:9" in what
    assert "secret" not in what


def test_little_room_and_no_right_to_write(runs, monkeypatch):
    for free, level in ((5e9, "ok"), (5e8, "warning"), (5e6, "problem")):
        monkeypatch.setattr(space.shutil, "disk_usage", lambda folder, free=free: type("Usage", (), {"free": free}))
        assert the_one(space.room, runs)[0] == level
    assert told(space.writable, Path(runs / "not" / "yet")) == []
    monkeypatch.setattr(space.os, "access", lambda folder, how: False)
    assert the_one(space.writable, runs)[0] == "problem"
