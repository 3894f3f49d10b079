"""Wrong inputs to every command, file and setting: one line each that says what is wrong, code 2, nothing written."""

import getpass
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

import toy
from sparsebench import plugins, records
from sparsebench.cli import main
from sparsebench_board import mirror, page
from wrong_inputs import commands, settings
from wrong_inputs import plugins as mishaps

AREAS = {"commands": commands.ROWS, "settings": settings.ROWS, "plugins": mishaps.ROWS}
PASSING = (".index.json", "workers.log", f"torchinductor_{getpass.getuser()}")
"""What may come and go: the index of the records, tracebacks, and what torch makes when it is imported."""
ROWS = {f"{area}: {name}": row for area, rows in AREAS.items() for name, row in rows.items()}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The toy plugins, installed once, in a folder that a copy is made of for every row: a suite and two records."""
    root = tmp_path_factory.mktemp("wrong")
    toy.install(root / "site")
    mishaps.install(root / "site", toy.install)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "site"))
        plugins._entries.cache_clear()
        (root / "model").mkdir()
        patch.chdir(root / "model")
        Path("toys.toml").write_text(toy.SUITE)
        for method in ("rigl", "dense"):
            line = ["--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4", "--recipe.steps", "12"]
            updates = ["--updates.delta-t", "2", "--sparsity", "0.5", "--no-mlflow"]
            assert main(["train", "--method", method, *line, *updates]) == 0
        yield root
    plugins._entries.cache_clear()


@pytest.fixture
def work(site, tmp_path, monkeypatch):
    """A working folder of the row's own; what is temporary lies beside it, and MLflow is out of the way."""
    work = shutil.copytree(site / "model", tmp_path / "work")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mirror, "mirror", lambda *arguments: mirror.Outcome())
    monkeypatch.setattr(page, "publish", lambda *arguments: None)
    monkeypatch.chdir(work)
    return work


@pytest.fixture(autouse=True)
def watchdog():
    """What is worked on without end is ended, and fails."""

    def end(number, frame):
        raise AssertionError("still at it after a minute: it should have been refused")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def listed(folder):
    """Every file below a folder with its content."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.name not in PASSING}
    return {str(name): path.read_bytes() if path.is_file() else None for name, path in found.items()}


@pytest.mark.parametrize("name", ROWS)
def test_wrong_input_is_refused(name, work, tmp_path, capfd):
    row = ROWS[name]
    row.prepare(work)
    before = listed(tmp_path)
    rigl = next(path.name for path in records.paths(Path("runs")) if "_rigl_" in path.name)
    capfd.readouterr()
    code = main([word.replace("RIGL", rigl) for word in row.arguments])
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert (code, out, len(lines)) == (2, "", row.lines), err
    assert all(line.startswith("error: ") for line in lines), err
    assert row.given in err
    assert row.remedy in err
    assert listed(tmp_path) == before, "something was written"
