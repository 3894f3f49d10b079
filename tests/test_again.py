"""`--again`: the old record stays until the new one takes its place; what comes out differently is told."""

import json
import shutil
from pathlib import Path

import pytest

import dying
import records_fixture as fixture
from sparsebench import records, redoing, runner, seals
from sparsebench.config import Recipe, RunConfig, Ticket, Updates
from sparsebench.prepare import prepare
from sparsebench_board.comparing import compared

pytest_plugins = ("command_line",)
ROOT = Path("runs")


class Cut(BaseException):
    """The process dies."""


def ids():
    return [path.name for path in records.paths(ROOT)]


def moments():
    return {id: (ROOT / id / "result.json").stat().st_mtime_ns for id in ids()}


def tampered(id):
    """A record whose accuracy is another."""
    path = ROOT / id / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"accuracy": 0.75}))
    seals.write(ROOT / id)


@pytest.fixture
def done(command):
    """The toy suite, trained; the command line."""
    command("run", "toys.toml", "--no-mlflow")
    return command


def test_it_asks_and_does_again_what_is_recorded(done):
    before = moments()
    code, out, err = done("run", "toys.toml", "--again")
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("error: there is no terminal to ask at, and nothing was done")
    assert "Do 4 recorded runs again (before, they took " in err[0]
    assert moments() == before
    assert not (ROOT / redoing.AGAIN).exists()
    code, out, err = done("run", "toys.toml", "--again", "--yes")
    assert (code, err) == (0, [])
    assert out[0].startswith("4 of 4 runs to do")
    assert out[-1] == "done again: 4 runs, all came out as before"
    assert all(moment > before[id] for id, moment in moments().items())
    assert not [path for path in ROOT.iterdir() if path.name in (redoing.AGAIN, redoing.BEFORE, ".checkpoints")]


def test_a_part_and_what_is_missing(done):
    before = moments()
    shutil.rmtree(ROOT / ids()[0])
    code, out, _ = done("run", "toys.toml", "--again", "--yes", "--only", "seed=0", "--no-mlflow")
    assert (code, out[-1]) == (0, "done again: 1 run, all came out as before")
    assert out[0].startswith("2 of 2 runs to do")
    assert [moments()[id] > before[id] for id in ids()] == ["seed0" in id for id in ids()]
    assert done("run", "toys.toml", "--yes")[0] == 2


def test_an_interrupted_attempt_goes_on_with_what_it_has_left(done):
    left, before = ids()[1:3], moments()
    redoing.mark(ROOT, left)
    assert done("run", "toys.toml", "--no-mlflow")[0] == 0
    assert moments() == before, "without --again they stay as they are"
    assert "Do 2 recorded runs that an earlier --again has left again" in done("run", "toys.toml", "--again")[2][0]
    code, out, _ = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")
    assert (code, out[-1]) == (0, "done again: 2 runs, all came out as before")
    assert [id for id in ids() if moments()[id] > before[id]] == left


def test_what_comes_out_differently_is_told_and_kept(done):
    id = ids()[3]
    tampered(id)
    child = fixture.write(ROOT, fixture.config("static", ticket=Ticket(source=id)))
    code, out, err = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")
    assert (code, out[-1]) == (0, "done again: 4 runs, 1 came out differently")
    assert err == [
        "warning: rigl 0.5 toy seed 1 came out differently (result: accuracy: 0.75 | 0.5): see `sparsebench compare "
        f"runs/.before/{id} runs/{id}`",
        f"warning: 1 other runs start from tickets of those, and are as they were: {child.id}",
    ]
    assert done("compare", f"runs/.before/{id}", f"runs/{id}")[0] == 1
    assert done("rm", id, "--yes", "--no-mlflow")[0] == 0
    assert not (ROOT / redoing.BEFORE).exists()


def test_a_damaged_record_is_done_again(done):
    id = ids()[0]
    (ROOT / id / "environment.json").write_text("{")
    assert done("run", "toys.toml")[0] == 2
    code, _, err = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")
    assert (code, len(err)) == (0, 1)
    assert "the record before cannot be compared" in err[0]
    assert records.read(ROOT / id).id == id


def test_train_again(command):
    arguments = ("train", "--backend", "toy", "--dataset", "dots", "--recipe.steps", "12", "--recipe.batch-size", "4",
                 "--updates.delta-t", "2", "--no-mlflow")  # fmt: skip
    assert command(*arguments)[0] == 0
    assert command(*arguments)[1][0] == "recorded before:"
    before = moments()
    assert command(*arguments, "--again")[0] == 2
    code, out, err = command(*arguments, "--again", "--yes")
    assert (code, err, out[-1]) == (0, [], "done again: 1 run, all came out as before")
    assert moments() != before


def test_a_dry_run_counts_what_would_be_done_again(done):
    before = dying.tree(ROOT)
    code, out, _ = done("run", "toys.toml", "--again", "--dry-run", "--format", "json")
    totals = json.loads("\n".join(out))["totals"]
    assert (code, totals["to_do"], totals["recorded"]) == (0, 4, 0)
    assert dying.tree(ROOT) == before


# ---- never half -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchanged", [True, False])
def test_killed_at_any_step_of_the_swap_nothing_is_half(tmp_path, monkeypatch, exchanged):
    """In one step, a whole record is there at every moment; where the system cannot, it is whole or not there."""
    if not exchanged:
        monkeypatch.setattr(redoing, "_exchanged", lambda first, second: False)

    def made(name):
        root = tmp_path / name
        old = fixture.write(root, fixture.config(), 0.9)
        new = fixture.write(root / "new", fixture.config(), 0.8)
        shutil.copytree(old.path, redoing.before(root, old.id))
        redoing.mark(root, [old.id])
        return new.path, old.path

    new, target = made("counted")
    whole = [dying.tree(target), dying.tree(new)]
    with dying.at(0) as steps:
        redoing.replace(new, target)
    assert dying.tree(target) == whole[1]
    assert dying.tree(redoing.before(target.parent, target.name)) == whole[0]
    assert not redoing.is_marked(target.parent, target.name)
    for last in range(1, steps.count + 1):
        new, target = made(str(last))
        with pytest.raises(dying.Killed), dying.at(last):
            redoing.replace(new, target)
        found = dying.tree(target)
        assert found in whole or (not exchanged and not found)
        if found != whole[1]:
            assert redoing.is_due(target.parent, target.name), "it is still to be done"


def test_a_run_that_ends_on_its_way_leaves_the_record_and_goes_on(tmp_path):
    config = RunConfig(
        model="lenet-300-100", dataset="digits", method="rigl", sparsity=0.9, backend="torch",
        recipe=Recipe(steps=40, batch_size=32, evaluations=3), updates=Updates(delta_t=7),
    )  # fmt: skip
    run = prepare(config)
    path = runner.run(run, tmp_path)
    before = dying.tree(path)
    runner.run(run, tmp_path)
    assert dying.tree(path) == before, "what is recorded is left alone"

    def cut(done, steps):
        if done >= 30:
            raise Cut

    redoing.mark(tmp_path, [run.id])
    with pytest.raises(Cut):
        runner.run(run, tmp_path, progress=cut, keep=runner.Keep(0))
    assert dying.tree(path) == before
    assert redoing.is_marked(tmp_path, run.id)
    runner.run(run, tmp_path)
    assert dying.tree(path) != before
    assert records.read(path).environment["resumed"]
    old = records.read(redoing.before(tmp_path, run.id))
    assert {part.name for part in compared(old, records.read(path)) if part.differences} == {"versions"}
    assert not redoing.marked(tmp_path)
