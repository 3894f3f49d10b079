"""`--again`: the old record stays until the new one takes its place; what comes out differently is told."""

import json
import shutil
from pathlib import Path

import pytest

import dying
import records_fixture as fixture
from sparsebench import checkpoints, records, redoing, runner, seals
from sparsebench.cli import work
from sparsebench.cli.work import compared_again, train_one
from sparsebench.config import Recipe, RunConfig, Ticket, Updates
from sparsebench.prepare import prepare
from sparsebench.worker import Report
from sparsebench_board.comparing import compared

pytest_plugins = ("command_line",)
ROOT = Path("runs")


class Cut(BaseException):
    """The process dies."""


CONFIG = RunConfig(
    model="lenet-300-100", dataset="digits", method="rigl", sparsity=0.9, backend="torch",
    recipe=Recipe(steps=40, batch_size=32, evaluations=3), updates=Updates(delta_t=7),
)  # fmt: skip


def cut(done, steps):
    """Progress of a run that is to be ended at three quarters."""
    if done >= 30:
        raise Cut


def kept(target):
    """Each record that this one has replaced."""
    return [dying.tree(path) for path in redoing.kept(target.parent, target.name)]


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


def test_what_came_out_differently_is_never_deleted_unasked(done):
    id = ids()[3]
    tampered(id)
    old = dying.tree(ROOT / id)
    for _ in range(2):
        code, out, err = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")
        assert (code, out[-1], len(err)) == (0, "done again: 4 runs, 1 came out differently", 1)
        assert f"see `sparsebench compare runs/.before/{id} runs/{id}`" in err[0]
        assert [dying.tree(path) for path in redoing.kept(ROOT, id)] == [old]
    tampered(id)
    err = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")[2]
    assert len(err) == 2
    assert f"runs/.before/{id}+2 runs/{id}`" in err[1]
    assert done("rm", id, "--yes", "--no-mlflow")[0] == 0
    assert not (ROOT / redoing.BEFORE).exists()


def test_killed_between_the_swap_and_the_comparison_it_is_compared_by_the_next_attempt(done, monkeypatch):
    id = ids()[0]
    tampered(id)
    old = dying.tree(ROOT / id)
    redoing.mark(ROOT, [id])

    def killed(*arguments):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(work, "compared_again", killed)
        with pytest.raises(Cut):
            train_one(records.read(ROOT / id).config, Report(lambda event: None), None, ROOT, "cpu")
    before = moments()
    assert not redoing.is_due(ROOT, id)
    code, out, err = done("run", "toys.toml", "--again", "--yes", "--no-mlflow")
    assert (code, out[-1], len(err)) == (0, "done again: 1 run, 1 came out differently", 1)
    assert [dying.tree(path) for path in redoing.kept(ROOT, id)] == [old]
    assert moments() == before
    assert not redoing.marked(ROOT)


# ---- from the start -------------------------------------------------------------------------------------------


def recorded_with_checkpoints(root, monkeypatch):
    """A run that was killed after its record was there, and before its checkpoints were gone."""
    run = prepare(CONFIG)

    def killed(root, id):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "remove", killed)
        with pytest.raises(Cut):
            runner.run(run, root, keep=runner.Keep(0))
    assert list(checkpoints.folder(root, run.id).iterdir())
    return run


def test_it_begins_from_the_start_whatever_a_kill_has_left(tmp_path, monkeypatch):
    run = recorded_with_checkpoints(tmp_path, monkeypatch)
    redoing.mark(tmp_path, [run.id])
    assert not checkpoints.folder(tmp_path, run.id).exists()
    assert "resumed" not in records.read(runner.run(run, tmp_path)).environment


def test_marking_again_keeps_the_checkpoints_of_the_attempt(tmp_path):
    run = prepare(CONFIG)
    runner.run(run, tmp_path)
    redoing.mark(tmp_path, [run.id])
    with pytest.raises(Cut):
        runner.run(run, tmp_path, progress=cut, keep=runner.Keep(0))
    redoing.mark(tmp_path, [run.id])
    redoing.sweep(tmp_path)
    assert records.read(runner.run(run, tmp_path)).environment["resumed"]


def test_any_command_that_trains_removes_what_a_kill_has_left(done):
    other = checkpoints.folder(ROOT, "unfinished") / "000000000001"
    left = checkpoints.folder(ROOT, ids()[0]) / "000000000001"
    for place in (left, other):
        place.mkdir(parents=True)
    with checkpoints.held(ROOT, ids()[0]):
        assert done("run", "toys.toml", "--no-mlflow")[0] == 0
    assert left.exists(), "who holds it removes it"
    assert done("run", "toys.toml", "--dry-run")[0] == 0
    assert left.exists(), "a dry run changes nothing"
    assert done("run", "toys.toml", "--no-mlflow")[0] == 0
    assert not left.parent.exists()
    assert other.exists()


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
        earlier = fixture.write(root / "earlier", fixture.config(), 0.7)
        shutil.copytree(earlier.path, redoing.before(root, old.id))
        redoing.mark(root, [old.id])
        return new.path, old.path

    new, target = made("counted")
    whole = [dying.tree(target), dying.tree(new)]
    with dying.at(0) as steps:
        redoing.replace(new, target)
    assert dying.tree(target) == whole[1]
    assert whole[0] in kept(target)
    assert len(kept(target)) == 2
    assert not redoing.is_due(target.parent, target.name)
    for last in range(1, steps.count + 1):
        new, target = made(str(last))
        with pytest.raises(dying.Killed), dying.at(last):
            redoing.replace(new, target)
        found = dying.tree(target)
        assert found in whole or (not exchanged and not found)
        if found != whole[1]:
            assert redoing.is_due(target.parent, target.name), "it is still to be done"
            newer = fixture.write(tmp_path / f"next-{last}", fixture.config(), 0.8)
            redoing.replace(newer.path, target)
        assert whole[0] in kept(target), "whenever it was killed, the next attempt has the old one to compare with"
        differing = compared_again(target.parent, target.name)
        told = sorted(line for lines in differing.values() for line in lines if line.startswith("result"))
        assert told == ["result: accuracy: 0.7 | 0.8", "result: accuracy: 0.9 | 0.8"]
        assert not redoing.is_marked(target.parent, target.name)


def test_a_run_that_ends_on_its_way_leaves_the_record_and_goes_on(tmp_path):
    run = prepare(CONFIG)
    path = runner.run(run, tmp_path)
    before = dying.tree(path)
    runner.run(run, tmp_path)
    assert dying.tree(path) == before, "what is recorded is left alone"

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
    assert compared_again(tmp_path, run.id) == {}
    assert not redoing.kept(tmp_path, run.id)
    assert not redoing.marked(tmp_path)
