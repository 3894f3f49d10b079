"""`run --dry-run`: what it prints is what would be done, and nothing is; what is measured are positive numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tasks
import toy
from sparsebench import calibrate, records
from sparsebench.cli.dry import span
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.data.source import Split
from sparsebench.forecast import COSTS
from sparsebench.prepare import prepare

pytest_plugins = ("command_line",)

DRY = ["run", "toys.toml", "--dry-run"]


def told(command, *more):
    """What a dry run says, as JSON."""
    code, out, err = command(*DRY, "--format", "json", *more)
    assert (code, err) == (0, [])
    return json.loads("\n".join(out))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def suite_with(**changes):
    text = toy.SUITE
    for name, value in changes.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name} ="))
        text = text.replace(line, f"{name} = {value}")
    Path("toys.toml").write_text(text)


# ---- what it says ---------------------------------------------------------------------------------------------


def test_a_dry_run_is_what_the_run_then_does(command, folder):
    found = told(command, "--workers", "2")
    assert files(folder) == ["toys.toml"], "nothing is written"
    assert [(cell["method"], cell["sparsity"], cell["backend"]) for cell in found["cells"]] == [
        ("dense", 0.0, "toy"), ("rigl", 0.5, "toy"),
    ]  # fmt: skip
    assert command("run", "toys.toml", "--no-mlflow")[0] == 0
    for cell in found["cells"]:
        assert (cell["to_do"], cell["recorded"], cell["seeds"], cell["steps"]) == (2, 0, [0, 1], 12)
        assert (cell["exact"], cell["listed"], cell["settings"]) == (True, True, {})
        same = [r for r in records.read_all(Path("runs")) if r.config.method == cell["method"]]
        assert len(same) == 2
        assert all({name: cell[name] for name in COSTS} == {name: r.result[name] for name in COSTS} for r in same)
    totals = found["totals"]
    assert totals["training_flops"] == sum(2 * cell["training_flops"] for cell in found["cells"])
    assert (totals["to_do"], totals["recorded"], totals["workers"], totals["exact"]) == (4, 0, 2, True)


def test_times_are_measured_once_for_all_that_are_alike(command):
    found = told(command, "--workers", "1")
    (measured,) = found["calibrations"]
    assert (measured["backend"], measured["samples"], measured["batch_size"]) == ("toy", 4, 4)
    assert set(measured["updates"]) == {"rigl"}
    assert min(measured[name] for name in ("step", "evaluation", "rest")) > 0
    assert measured["updates"]["rigl"] > 0
    assert found["launch_seconds"]["toy"] > 0
    each = [cell["seconds"] for cell in found["cells"]]
    assert found["totals"]["seconds"] == pytest.approx(2 * sum(each))
    start = found["launch_seconds"]["toy"] + measured["setup"]
    assert found["totals"]["wall_seconds"] == pytest.approx(2 * sum(each) + start)


def test_what_is_recorded_is_told_apart(command, folder):
    assert command("run", "toys.toml", "--no-mlflow", "--only", "seed=1")[0] == 0
    before = files(folder)
    found = told(command)
    assert [(cell["to_do"], cell["recorded"]) for cell in found["cells"]] == [(1, 1), (1, 1)]
    assert (found["totals"]["to_do"], found["totals"]["recorded"]) == (2, 2)
    assert command("run", "toys.toml", "--no-mlflow")[0] == 0
    assert set(before) < set(files(folder))
    done = told(command)
    assert [(cell["to_do"], cell["recorded"], cell["seconds"]) for cell in done["cells"]] == [(0, 2, None)] * 2
    assert (done["calibrations"], done["totals"]["training_flops"], done["totals"]["wall_seconds"]) == ([], 0, 0.0)
    assert "0 of 4 runs to do: all are recorded" in command(*DRY)[1]


def test_a_part_of_a_suite(command):
    (cell,) = told(command, "--only", "method=rigl,model=lenet-300-100,seed=1")["cells"]
    assert (cell["method"], cell["seeds"]) == ("rigl", [1])


def test_every_axis_of_a_run_makes_a_part(command):
    suite_with(seeds="2\nmultipliers = [1.0, 2.0]")
    wanted = "model=lenet-300-100,dataset=dots,method=rigl,sparsity=0.5,distribution=erk,multiplier=2,backend=toy"
    (cell,) = told(command, "--only", f"{wanted},seed=1")["cells"]
    assert (cell["multiplier"], cell["steps"], cell["seeds"]) == (2.0, 24, [1])


def test_the_table_fits_a_terminal(command):
    suite_with(methods='["dense", "rigl", "pruning-global", "snip"]', sparsities="[0.5, 0.98]")
    code, out, err = command(*DRY)
    assert (code, err) == (0, [])
    assert max(map(len, out)) <= 100
    assert out[0] == "lenet-300-100 on dots"
    rows = {tuple(line.split()[:2]): line.split() for line in out if " of 2 " in line}
    assert set(rows) == {("dense", "0"), *((m, s) for m in ("rigl", "pruning-global", "snip") for s in ("0.5", "0.98"))}
    assert rows["rigl", "0.5"][2:7] == ["toy", "2", "of", "2", "12"]
    assert [row for row in rows if any("≈" in word for word in rows[row])] == [
        ("pruning-global", "0.5"), ("pruning-global", "0.98"),
    ]  # fmt: skip
    text = "\n".join(out)
    assert "14 of 14 runs to do" in text
    assert "expected time: about " in text
    assert "≈: at the distribution of the plan" in text


def test_a_table_of_everything_fits_too(command):
    tickets = "\ntickets = [{ weights = 'redrawn' }, { method = 'snfs-redistributed', mask = 'shuffled' }]"
    suite_with(methods='["rigl", "snfs-redistributed"]', sparsities="[0.98]", seeds="1" + tickets)
    _, out, _ = command(*DRY)
    assert max(map(len, out)) <= 100
    words = " ".join(" ".join(line.split()) for line in out)
    for told in ("for a ticket", "the search for the ticket included"):
        assert told in words


def test_what_tells_cells_apart_has_a_column(command):
    updates = "\nupdates = { alpha = [0.1, 0.3] }"
    suite_with(methods='["rigl"]', seeds="1\nmultipliers = [1.0, 2.0]\ndistributions = ['er', 'erk']" + updates)
    found = told(command)["cells"]
    assert {(cell["multiplier"], cell["distribution"], cell["settings"]["alpha"]) for cell in found} == {
        (length, shared, alpha) for length in (1.0, 2.0) for shared in ("er", "erk") for alpha in (0.1, 0.3)
    }
    heading, *rows = (line.split() for line in command(*DRY)[1] if line.startswith(("method", "rigl")))
    assert heading[:5] == ["method", "sparsity", "distrib.", "length", "backend"]
    assert heading[-1] == "settings"
    assert {(row[2], row[3], row[-1]) for row in rows} == {
        (shared, length, f"alpha={alpha}")
        for shared in ("er", "erk")
        for length in ("1×", "2×")
        for alpha in (0.1, 0.3)
    }


def test_a_search_is_counted_once_and_its_rounds_are_told(command):
    suite_with(methods='["lottery"]', sparsities="[0.9]", seeds="1\n[search]\nremove = 0.6")
    found = told(command, "--workers", "3")
    assert [(cell["method"], cell["sparsity"], cell["listed"]) for cell in found["cells"]] == [
        ("dense", 0.0, False), ("lottery", 0.6, False), ("lottery", 0.84, False), ("lottery", 0.9, True),
    ]  # fmt: skip
    assert found["cells"][-1]["training_flops"] == found["totals"]["training_flops"]
    assert found["totals"]["wall_seconds"] >= found["totals"]["seconds"], "one after the other, workers or not"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0.034, "0.03 s"), (2.04, "2.0 s"), (45, "45 s"), (150, "2.5 min"), (7200, "2.0 h"),
     (86400 * 12, "12 days")],
)  # fmt: skip
def test_spans_have_two_digits(seconds, text):
    assert span(seconds) == text


# ---- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "reason"),
    [(toy.USER_ERROR, "given seed 101"), (toy.CRASH, "RuntimeError: the toy broke"), (toy.KILLED, "SIGKILL")],
)
def test_what_cannot_be_measured_has_no_time(command, folder, seed, reason):
    suite_with(seeds=f"[{seed}]")
    code, out, err = command(*DRY)
    assert (code, len(err)) == (0, 1)
    assert err[0].startswith("warning: lenet-300-100 on dots in toy could not be timed: ")
    assert reason in err[0]
    assert "expected time: unknown" in "\n".join(out)
    assert files(folder) == ["toys.toml"]


@pytest.mark.parametrize(
    ("changes", "more", "line"),
    [
        ({"batch_size": 400}, [], "batch_size 400 is larger than the training set"),
        ({"delta_t": 100}, [], "never updates in 12 steps"),
        ({"backends": '["bare"]'}, [], "backend 'bare' cannot build model"),
        ({"sparsities": "[2]"}, [], "grid.sparsities[0]: given 2"),
        ({}, ["--only", "model=lenet"], "unknown model in --only 'lenet': did you mean 'lenet-300-100'?"),
        ({}, ["--device", "cuda"], "the toy sees none: use --device cpu"),
        ({}, ["--records", "toys.toml"], "cannot write there"),
    ],
)
def test_impossible_suites_are_refused_as_ever(command, folder, changes, more, line):
    suite_with(**changes)
    code, out, err = command(*DRY, *more)
    assert (code, out, len(err)) == (2, [], 1)
    assert line in err[0]
    assert files(folder) == ["toys.toml"]


def test_a_format_is_for_dry_runs(command, folder):
    code, out, err = command("run", "toys.toml", "--format", "json")
    assert (code, out) == (2, [])
    assert err[0].startswith("error: --format json is for --dry-run")
    assert files(folder) == ["toys.toml"]


# ---- measuring ------------------------------------------------------------------------------------------------


def prepared(backend, method, **changes):
    settings = {"model": "lenet-300-100", "dataset": "digits", "backend": backend, "sparsity": 0.9}
    recipe = Recipe(steps=60, batch_size=32, **changes)
    updates = Updates(delta_t=5)
    return prepare(RunConfig(**settings, method=method, recipe=recipe, updates=updates))


def test_each_backend_is_measured_with_updates_and_observed_steps(backend, tmp_path):
    tasks.trainer_on(backend.name)
    runs = [prepared(backend.name, method, accumulation=2) for method in ("static", "rigl", "snfs-redistributed")]
    reduced = calibrate._reduced(runs, "cpu")
    measured = calibrate.measure(reduced, "cpu", tmp_path)
    assert measured.samples == 16, "a part of the batch"
    assert set(measured.updates) == {"rigl", "snfs-redistributed"}
    assert min(measured.step, measured.observed, measured.evaluation, measured.rest, *measured.updates.values()) > 0
    assert measured.setup >= 0


def test_what_is_measured_is_bounded(monkeypatch):
    monkeypatch.setitem(calibrate.WORK, "cpu", 10 * 3 * 2 * (64 * 300 + 300 * 100 + 100 * 10))
    (less,) = calibrate._reduced([prepared("torch", "rigl", learning_rate=3.0)], "cpu")
    assert (less.task.recipe.batch_size, less.task.recipe.accumulation) == (10, 1)
    assert less.task.recipe.learning_rate == calibrate.RATE
    assert less.task.steps == 60
    assert isinstance(less.task.dataset.train, Split)
    monkeypatch.setitem(calibrate.WORK, "cpu", 1.0)
    assert calibrate._reduced([prepared("torch", "rigl")], "cpu")[0].task.recipe.batch_size == 1


def test_runs_of_other_lengths_and_rates_are_alike_and_of_other_widths_are_not():
    kinds = [
        calibrate.kind_of(each)
        for each in (
            prepared("torch", "rigl"),
            prepared("torch", "dense", learning_rate=0.01, evaluations=3, schedule="step", milestones=(5,)),
            prepared("torch", "small-dense"),
            prepared("torch", "rigl", optimizer="adam"),
        )
    ]
    assert kinds[0] == kinds[1]
    assert len(set(kinds)) == 3
    assert kinds[2] == replace(kinds[0], width=kinds[2].width)
