"""`sparsebench rm`: what was chosen goes, whole or not at all; everything else stays to the bit."""

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dying
import records_fixture as fixture
from sparsebench import checkpoints, holdings, index, records, redoing, removing
from sparsebench.aside import PREFIX, sweep
from sparsebench.config import Ticket
from sparsebench_board import mirror, receipts
from sparsebench_board.rows import rows

pytest_plugins = ("command_line",)


def unfinished(root, config):
    """Two checkpoints of a run that has no record; its id."""
    made = fixture.write(root, config)
    identity = made.identity
    shutil.rmtree(made.path)
    for done in (3, 6):
        checkpoints.write(
            root,
            checkpoints.Checkpoint(identity, done, {}, {}, [], 1.0, (), {"w": np.zeros(3)}, {"n": np.zeros(1)}),
        )
    return made.id


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two cells of two seeds, a run alone, and one that is unfinished."""
    root = tmp_path_factory.mktemp("made") / "runs"
    for method, seed in (("rigl", 0), ("rigl", 1), ("set", 0), ("set", 1), ("static", 0)):
        fixture.write(root, fixture.config(method, 0.9, seed), 0.9)
    unfinished(root, fixture.config("snip"))
    return root


@pytest.fixture
def runs(made, folder):
    """A copy of them under `runs`."""
    return Path(shutil.copytree(made, folder / "runs"))


@pytest.fixture
def answer(monkeypatch):
    """Somebody at a terminal who answers that."""

    def given(text):
        stdin = io.StringIO(f"{text}\n")
        stdin.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stdin)

    return given


def ids(root):
    return [run.id for run in holdings.every(root)]


# ---- whole or gone --------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(chosen=st.sets(st.integers(0, 5)))
def test_any_part_can_go_and_the_rest_is_as_it_was(made, tmp_path_factory, chosen):
    root = Path(shutil.copytree(made, tmp_path_factory.mktemp("part") / "runs"))
    before = index.read_all(root)
    every = list(holdings.every(root))
    gone = [every[k] for k in chosen]
    stay = [run for run in every if run not in gone]
    content = {part: dying.tree(part) for run in stay for part in run.parts}
    for run in gone:
        removing.remove(run)
    index.forget(root, [run.id for run in gone])
    assert list(holdings.every(root)) == stay
    assert {part: dying.tree(part) for run in stay for part in run.parts} == content
    left = [record for record in before if record.id not in {run.id for run in gone}]
    assert index.read_all(root) == left == records.read_all(root)
    assert rows(index.read_all(root)) == rows(left)
    assert not list(root.glob(f"{PREFIX}*"))


def test_killed_at_any_step_everything_is_whole_or_gone(made, tmp_path):
    def copy(name):
        root = Path(shutil.copytree(made, tmp_path / name))
        (run,) = (run for run in holdings.every(root) if "rigl" in run.id and "seed0" in run.id)
        for count in (1, 2):
            shutil.copytree(run.record, redoing.before(root, run.id, count))
        redoing.mark(root, [run.id])
        shutil.copytree(next(root.glob(f"{checkpoints.FOLDER}/*")), run.checkpoints)
        return root, run

    root, run = copy("counted")
    content = {part.relative_to(root): dying.tree(part) for part in run.parts}
    with dying.at(0) as steps:
        removing.remove(run)
    assert run.parts == []
    assert steps.count > 6
    for last in range(1, steps.count + 1):
        root, run = copy(str(last))
        with pytest.raises(dying.Killed), dying.at(last):
            removing.remove(run)
        assert all(dying.tree(part) == content[part.relative_to(root)] for part in run.parts)
        sweep(root)
        assert not list(root.glob(f"{PREFIX}*"))
        removing.remove(run)
        assert run.parts == []
        assert not redoing.is_marked(root, run.id)


def test_what_is_being_trained_is_not_touched(command, runs):
    (run,) = (run for run in holdings.every(runs) if not run.is_finished)
    content = dying.tree(run.checkpoints)
    with checkpoints.held(runs, run.id):
        with pytest.raises(removing.BusyError):
            removing.remove(run)
        code, out, err = command("rm", run.id, "--yes", "--no-mlflow")
        assert (code, out, len(err)) == (1, ["nothing to remove"], 1)
        assert "being trained now" in err[0]
    assert dying.tree(run.checkpoints) == content
    code, out, _ = command("rm", run.id, "--yes", "--no-mlflow")
    assert (code, "1 unfinished" in "".join(out)) == (0, True)
    assert not (runs / checkpoints.FOLDER).exists()


# ---- the command ----------------------------------------------------------------------------------------------


def test_nothing_goes_unasked(command, runs, answer):
    before = dying.tree(runs)
    code, _, err = command("rm", "--only", "method=rigl")
    assert (code, len(err)) == (2, 1)
    assert err[0].startswith("error: there is no terminal to ask at, and nothing was done: --yes goes ahead unasked")
    answer("")
    code, out, err = command("rm", "--only", "method=rigl")
    assert (code, err) == (1, ["Remove 2 runs, 15 kB for good? [y/N] nothing was removed"])
    assert out[2].split() == ["lenet-300-100", "on", "digits", "rigl", "0.9", "torch", "0,", "1", "15", "kB"]
    assert dying.tree(runs) == before
    answer("y")
    code, out, _ = command("rm", "--only", "method=rigl", "--no-mlflow")
    assert (code, out[-1]) == (0, "removed: 2 runs, 15 kB")
    assert not [id for id in ids(runs) if "rigl" in id]
    assert len(ids(runs)) == 4


def test_runs_are_named_by_id_or_folder_damaged_ones_too(command, runs):
    first, second, third = ids(runs)[:3]
    (runs / first / "config.json").write_text("{")
    (runs / second / "result.json").unlink()
    code, out, err = command("rm", first, runs / second, f"runs/{third}", "--yes", "--no-mlflow")
    assert (code, err) == (0, [])
    assert "(damaged)" in "".join(out)
    assert len(ids(runs)) == 3
    for wrong, told in (
        (["nobody"], "there is no run 'nobody' in runs"),
        ([], "no runs are given"),
        (["--only", "method=nobody"], "unknown method in --only"),
        ([ids(runs)[0], "--only", "seed=0"], "not both"),
        (["../runs"], "there is no run '../runs'"),
        ([ids(runs)[0], "--records", "else"], "no records in else"),
    ):
        code, _, err = command("rm", *wrong, "--yes")
        assert (code, len(err)) == (2, 1), wrong
        assert told in err[0]
    assert len(ids(runs)) == 3


def test_a_suite_goes_with_all_it_trained_and_comes_back(command, folder):
    command("run", "toys.toml", "--no-mlflow")
    other = fixture.write(folder / "runs", fixture.config())
    assert command("rm", "--suite", "toys.toml", "--only", "method=rigl,seed=0", "--yes", "--no-mlflow")[0] == 0
    assert len(ids(folder / "runs")) == 4
    assert command("rm", "--suite", "toys.toml", "--yes", "--no-mlflow")[0] == 0
    assert ids(folder / "runs") == [other.id]
    assert command("rm", "--suite", "toys.toml", "--yes")[:2] == (0, ["nothing to remove"])
    assert command("run", "toys.toml", "--no-mlflow")[1][0].startswith("4 of 4 runs to do")


def test_runs_that_began_with_a_ticket_of_these_are_told(command, runs):
    source = next(id for id in ids(runs) if "rigl" in id)
    child = fixture.write(runs, fixture.config("static", 0.95, ticket=Ticket(source=source)))
    grandchild = fixture.write(runs, fixture.config("static", 0.98, ticket=Ticket(source=child.id)))
    _, _, err = command("rm", source)
    assert err[0].startswith("warning: 2 more runs began with a ticket of these")
    assert child.id in err[0]
    assert grandchild.id in err[0]
    assert not command("rm", source, child.id, grandchild.id)[2][0].startswith("warning")


# ---- MLflow ---------------------------------------------------------------------------------------------------


def test_what_mlflow_holds_goes_now_or_with_the_next_mirror(command, runs, monkeypatch):
    asked = []

    def remove(gone, uri, artifacts):
        asked.append(list(gone))
        if len(asked) == 1:
            raise mirror.UserError("MLflow store is away")
        return len(gone)

    monkeypatch.setattr(mirror, "remove", remove)
    (runs / "mlflow.db").touch()
    first, second = ids(runs)[:2]
    code, _, err = command("rm", first, "--yes")
    assert (code, len(err)) == (0, 1)
    assert err[0].startswith("warning: MLflow still holds what was removed: 1 runs (MLflow store is away)")
    code, out, err = command("rm", second, "--yes")
    assert (code, err, out[-2]) == (0, [], "MLflow runs: 2 removed")
    assert asked == [[first], sorted([first, second])]
    assert receipts.owed(f"sqlite:///{runs / 'mlflow.db'}", runs) == []
    command("rm", ids(runs)[0], "--yes", "--no-mlflow")
    assert len(asked) == 2


def test_a_run_that_is_recorded_again_is_not_owed(runs):
    uri = f"sqlite:///{runs / 'mlflow.db'}"
    (runs / "mlflow.db").touch()
    found = records.read_all(runs)
    receipts.note(found, uri, runs)
    receipts.remove([found[0].id, found[1].id], uri, runs)
    assert receipts.owed(uri, runs) == [], "both are still there"
    assert receipts.pending(found, uri, runs) == found[:2]
    shutil.rmtree(found[0].path)
    assert receipts.owed(uri, runs) == [found[0].id]
    receipts.note(found[1:2], uri, runs)
    assert receipts.pending(found[1:], uri, runs) == []
    receipts.settle([found[0].id], uri, runs)
    assert receipts.owed(uri, runs) == []
