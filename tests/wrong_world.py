"""Fixtures for inputs that are wrong: a working folder with records of the toy, and a look at all that is in it."""

import getpass
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import toy
from sparsebench import plugins, prepare, records
from sparsebench.cli import main
from sparsebench_board import mirror, page
from wrong_inputs import plugins as mishaps

PASSING = (".index.json", "workers.log", f"torchinductor_{getpass.getuser()}")
"""What may come and go: the index of the records, tracebacks, and what torch makes when it is imported."""
PATIENCE = 60
TRAIN = (
    "train --dataset dots --backend toy --recipe.batch-size 4 --recipe.steps 12 --updates.delta-t 2 --sparsity 0.5 "
    "--no-mlflow --method "
)


@dataclass(frozen=True)
class World:
    """A folder with a suite file and the records of two of its runs, and what these are called."""

    folder: Path
    rigl: str
    dense: str

    def words(self, arguments: list[str]) -> list[str]:
        """A command line with their ids in it."""
        return [word.replace("RIGL", self.rigl).replace("DENSE", self.dense) for word in arguments]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The toy plugins and those that go wrong, installed once, and the folder that every case gets a copy of."""
    root = tmp_path_factory.mktemp("wrong")
    toy.install(root / "site")
    mishaps.install(root / "site", toy.install)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "site"))
        plugins._entries.cache_clear()
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(mirror, "mirror", lambda *arguments: mirror.Outcome())
        patch.setattr(page, "publish", lambda *arguments: None)
        (root / "model").mkdir()
        patch.chdir(root / "model")
        Path("toys.toml").write_text(toy.SUITE)
        for method in ("rigl", "dense"):
            assert main([*TRAIN.split(), method]) == 0
        dense, rigl = sorted(path.name for path in records.paths(Path("runs")))
        yield World(root / "model", rigl, dense)
    plugins._entries.cache_clear()


@pytest.fixture
def work(world, tmp_path, monkeypatch):
    """A working folder of one's own; what is temporary lies beside it, and MLflow is out of the way."""
    work = shutil.copytree(world.folder, tmp_path / "work")
    (tmp_path / "temporary").mkdir()
    prepare._loaded.cache_clear()  # paths are relative, and of another folder now
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def watchdog():
    """What is worked on without end is ended, and fails."""

    def end(number, frame):
        raise AssertionError(f"still at it after {PATIENCE} seconds: it should have been refused")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def listed(folder):
    """Every file below a folder with its content."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.name not in PASSING}
    return {str(name): path.read_bytes() if path.is_file() else None for name, path in found.items()}
