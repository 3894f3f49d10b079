"""Fixtures: a working folder with the toy plugins, and the real command line run in it, in process."""

from pathlib import Path

import pytest

import toy
from sparsebench import plugins
from sparsebench.cli import main
from sparsebench_board import mirror, page


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A working folder with the toy plugins installed, and a suite file."""
    toy.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins._entries.cache_clear()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("toys.toml").write_text(toy.SUITE)
    yield tmp_path / "work"
    plugins._entries.cache_clear()


def _mirror(found, uri, artifacts):
    Path(uri.removeprefix("sqlite:///")).touch()
    return mirror.Outcome(new=len(found))


@pytest.fixture
def folder(toys, monkeypatch):
    """The same, and MLflow is out of the way."""
    monkeypatch.setattr(mirror, "mirror", _mirror)
    monkeypatch.setattr(page, "publish", lambda *arguments: None)
    return toys


@pytest.fixture
def command(folder, whole_command):
    """Runs a command line: (exit code, lines of output, lines of errors)."""
    return whole_command


@pytest.fixture
def whole_command(toys, capfd):
    """The same with MLflow."""

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out.splitlines(), err.splitlines()

    return run
