"""When commands mirror to MLflow: what it does not hold yet, once, wherever it is; a failure is made up for."""

import shutil
from pathlib import Path

import pytest

import records_fixture as fixture
from sparsebench import records
from sparsebench_board import mirror, receipts, ui

pytest_plugins = ("command_line",)


def ids(root="runs"):
    return [path.name for path in records.paths(Path(root))]


@pytest.fixture
def store(folder, monkeypatch):
    """A store beside the records that remembers what it was given, and can be out of order."""

    class Store:
        broken = False

        def __init__(self):
            self.given = []

        def mirror(self, found, uri, artifacts):
            self.given.append((sorted(record.id for record in found), uri))
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).touch()
            if self.broken:
                return mirror.Outcome(new=1, failed=len(found) - 1, reasons=("no answer",))
            return mirror.Outcome(new=len(found))

    made = Store()
    monkeypatch.setattr(mirror, "mirror", made.mirror)
    return made


def test_what_could_not_be_mirrored_is_mirrored_by_the_next_command(command, store):
    uri = f"sqlite:///{Path('runs/mlflow.db').absolute()}"
    store.broken = True
    assert len(command("run", "toys.toml")[2]) == 1
    store.broken = False
    code, out, err = command("run", "toys.toml")
    assert (code, out[-2], err) == (0, "MLflow runs: 4 new", [])
    assert store.given == [(ids(), uri), (ids(), uri)]
    command("run", "toys.toml")
    assert len(store.given) == 2, "it is not asked when there is nothing to tell"

    lost = ids()[2]
    shutil.rmtree(Path("runs") / lost)
    command("run", "toys.toml")
    assert store.given[2:] == [([lost], uri)], "a record made anew is another result"


def test_an_emptied_or_another_store_gets_everything(command, store, monkeypatch):
    command("run", "toys.toml")
    Path("runs/mlflow.db").unlink()
    command("run", "toys.toml")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@tracking.invalid:5000")
    command("run", "toys.toml")
    assert [given for given, _ in store.given] == [ids()] * 3
    assert "secret" not in Path("runs/.mirrored.json").read_text()


def test_every_command_that_records_mirrors(command, store):
    line = ["train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4"]
    command(*line, "--no-mlflow", "--records", "there")
    assert store.given == []
    command(*line, "--records", "there")
    command("import", "there")
    command("import", "there", "--no-mlflow", "--records", "elsewhere")
    folders = [Path(uri.removeprefix("sqlite:///")).parent.name for _, uri in store.given]
    assert folders == ["there", "runs"]


@pytest.mark.parametrize("uri", [None, "sqlite:////somewhere/else.db", "http://tracking.invalid:5000"])
def test_runs_are_shown_where_they_are_mirrored(command, store, monkeypatch, uri):
    served = []
    monkeypatch.setattr(ui, "serve", lambda *arguments: served.append(arguments))
    monkeypatch.setattr(mirror, "mirror", lambda found, *place: store.given.append(place) or mirror.Outcome())
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command("run", "toys.toml", "--records", "r")
    command("ui", "--records", "r", "--port", "5001")
    mirrored, again = store.given
    assert mirrored == again == served[0][:2]
    assert mirrored == (uri or f"sqlite:///{Path('r/mlflow.db').absolute()}", Path("r/mlartifacts").absolute())


def test_notes_name_what_was_mirrored_as_it_was(tmp_path):
    found = [fixture.write(tmp_path, fixture.config(seed=seed)) for seed in range(5)]
    uri = "http://tracking.invalid"
    assert receipts.pending(found, uri, tmp_path) == found
    receipts.note(found[:2], uri, tmp_path)
    receipts.note(found[2:4], uri, tmp_path)
    assert receipts.pending(found, uri, tmp_path) == found[4:]
    assert receipts.pending(found, "http://elsewhere.invalid", tmp_path) == found
    (found[0].path / "result.json").write_text("{}")
    assert receipts.pending(found, uri, tmp_path) == [found[0], found[4]]
    (tmp_path / receipts.NAME).write_text("{damaged")
    assert receipts.pending(found, uri, tmp_path) == found
