"""A run whose loss, accuracy or score is not finite ends as diverged: a whole record, and the same one each time."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
import toy
from sparsebench import divergence, records, runner
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.divergence import Divergence
from sparsebench.prepare import prepare
from sparsebench.trainer import Backend, Metrics, Report, Tally
from test_resume import cut_run, same

pytest_plugins = ("command_line",)

STEPS = 40
METHODS = ("dense", "static", "set", "rigl", "pruning")


def prepared(method, backend, rate=0.1, **recipe):
    config = RunConfig(
        model="lenet-300-100", dataset="digits", method=method, backend=backend.name,
        sparsity=0.0 if method == "dense" else 0.9, updates=Updates(delta_t=7),
        recipe=Recipe(steps=STEPS, batch_size=16, evaluations=2, learning_rate=rate, **recipe),
    )  # fmt: skip
    return replace(prepare(config), backend=backend)


# ---- planted at a step of choice ------------------------------------------------------------------------------


class Planted(toy.Toy):
    """Something that is not finite at one iteration, in what `where` says."""

    def __init__(self, where, at, value):
        self.where, self.at, self.value = where, at, value
        self.asked = 0

    def train(self, state, method, feed, start, stop):
        self.asked += stop - start
        lost = (np.arange(start, stop) >= self.at) & (self.where == "train")
        return state, Tally(np.where(lost, self.value, 0.5).astype(np.float32))

    def update(self, state, method, event, budget, feed):
        state, report = super().update(state, method, event, budget, feed)
        return state, Report(self.value if event.iteration >= self.at else 0.5, report.layers)

    def evaluate(self, state, split):
        lost = self.where in ("loss", "accuracy") and self.asked >= self.at
        return Metrics(**{"accuracy": 0.5, "loss": 0.7} | ({self.where: self.value} if lost else {}))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Runs a method with something planted; returns the record and the trainer."""
    toy_backend = Backend("torch", "a toy", lambda device: toy.Toy())

    def run(method, where, at, value):
        trainer = Planted(where, at, value)
        backend = replace(toy_backend, trainer=lambda device: trainer)
        root = tmp_path_factory.mktemp("runs")
        return records.read(runner.run(prepared(method, backend), root)), trainer

    return run


@settings(max_examples=40)
@given(st.sampled_from(METHODS), st.integers(0, STEPS - 1), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_loss_is_told_by_its_own_iteration(planted, method, at, value):
    record, trainer = planted(method, "train", at, value)
    *before, last = record.events()
    found, consumed = record.diverged, list(replay.iterations(before))
    assert (last["kind"], found.what, found.value) == ("diverged", "loss", str(value))
    assert found.iteration == last["iteration"] >= at
    assert consumed == list(range(len(consumed))), "what came before is told as ever"
    assert all(event["kind"] in ("train", "update", "evaluate") for event in before)
    if found.during == "train":
        assert found.iteration == max(at, len(consumed)), "the first that is not finite"
    steps = sum(event["stop"] - event["start"] for event in record.events() if "stop" in event)
    assert trainer.asked == steps, "the segment is told to its end, as it was executed"
    assert record.result["executed_by_layer"] == replay.executed_by_layer(record)
    assert record.result["accuracy"] is record.result["loss"] is None


@pytest.mark.parametrize(
    ("method", "where", "at", "when"),
    [
        ("static", "loss", 1, Divergence(20, "evaluate", "loss", "nan")),
        ("static", "accuracy", 21, Divergence(40, "evaluate", "accuracy", "nan")),
        ("rigl", "update", 8, Divergence(14, "update", "loss", "nan")),
    ],
)
def test_what_else_may_not_be_finite(planted, method, where, at, when):
    record, _ = planted(method, where, at, math.nan)
    assert record.diverged == when
    assert json.loads((record.path / "result.json").read_text())["status"] == "diverged"
    assert not list(record.path.parent.glob(".checkpoints/*/*")), "no checkpoint is left"
    for layer in record.layers:
        assert layer["active"] == np.count_nonzero(record.masks()[layer["name"]])


# ---- in real backends -----------------------------------------------------------------------------------------


class Poisoned:
    """A real trainer, one of whose weights is not a number from the beginning of one iteration on."""

    def __init__(self, trainer, at, value):
        self.trainer, self.at, self.value = trainer, at, value

    def __getattr__(self, name):
        return getattr(self.trainer, name)

    def init(self, task, weights, masks):
        self.task = task
        return self.trainer.init(task, weights, masks)

    def poison(self, state):
        arrays = dict(self.trainer.snapshot(state))
        name = next(name for name in arrays if name.endswith("fc2.weight") and arrays[name].dtype == np.float32)
        place = np.flatnonzero(arrays[name])[0]
        arrays[name] = arrays[name].copy()
        arrays[name].reshape(-1)[place] = self.value
        return self.trainer.restore(self.task, arrays)

    def train(self, state, method, feed, start, stop):
        if not start <= self.at < stop:
            return self.trainer.train(state, method, feed, start, stop)
        state, before = self.trainer.train(state, method, feed, start, self.at)
        state, after = self.trainer.train(self.poison(state), method, feed, self.at, stop)
        return state, Tally(np.concatenate([before.losses, after.losses]))

    def update(self, state, method, event, budget, feed):
        state = self.poison(state) if event.iteration == self.at else state
        return self.trainer.update(state, method, event, budget, feed)


def poisoned(backend, at, value=np.nan):
    trainer = Poisoned(backend.trainer("cpu"), at, value)
    return replace(backend, trainer=lambda device: trainer)


@pytest.mark.parametrize("at", [0, 11, 39])
def test_a_weight_that_is_nan_ends_the_run_where_it_is_used(backend, at, tmp_path):
    run = prepared("static", poisoned(backend, at))
    first, second = (records.read(runner.run(run, tmp_path / name)) for name in ("first", "second"))
    assert first.diverged == Divergence(at, "train", "loss", "nan")
    assert same(first.path, second.path) == []
    assert any(np.isnan(array).any() for array in first.weights().values()), "weights are as they were"


def test_a_score_that_is_not_finite_names_its_layer(backend, tmp_path):
    record = records.read(runner.run(prepared("rigl", poisoned(backend, 14)), tmp_path))
    assert record.diverged.during == "update"
    assert record.diverged.iteration == 14
    assert record.diverged.what in ("drop score", "grow score")
    assert record.diverged.layer in {layer["name"] for layer in record.layers}
    updates = [event["iteration"] for event in record.events() if event["kind"] == "update"]
    assert updates == [7], "masks are those before that update"
    assert record.movement().iterations.tolist() == [0, 8]
    dense = 16 * 2 * sum(layer["macs"] for layer in record.layers)
    assert record.result["executed"]["dense_weight_gradient"] == 2 * dense, "its gradient was taken all the same"


@pytest.mark.parametrize("method", ["dense", "set", "rigl"])
def test_an_absurd_learning_rate_diverges_and_continued_as_if_never_cut(backend, method, tmp_path):
    """The rate rises linearly from 0, so that the loss is lost on the way."""
    run = prepared(method, backend, 3e4, warmup=39.0)
    straight = records.read(runner.run(run, tmp_path / "straight"))
    when = straight.diverged
    assert 3 < when.iteration < STEPS
    for done in (2, when.iteration - 1):
        cut_run(run, tmp_path / "cut", done)
    again = runner.run(run, tmp_path / "cut")
    assert same(straight.path, again) == []
    assert len(records.read(again).environment["resumed"]) == 2
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [again.name], "no checkpoint is left"


# ---- what a record says ---------------------------------------------------------------------------------------

WHEN = {"iteration": 3, "during": "train", "what": "loss", "value": "nan", "layer": None}


@pytest.mark.parametrize(
    "result",
    [
        {"status": "lost"}, {"status": "diverged"}, {"status": "diverged", "diverged": None},
        *({"status": "diverged", "diverged": {**WHEN, **wrong}} for wrong in (
            {"iteration": "3"}, {"iteration": True}, {"during": "sleep"}, {"during": []}, {"value": "\x1b[2J"},
            {"what": "\x1b[2J"}, {"layer": 3},
        )),
        {"status": "diverged", "diverged": {"iteration": 3}},
    ],
)  # fmt: skip
def test_what_says_something_else_is_damaged(result):
    with pytest.raises((KeyError, TypeError, ValueError)):
        divergence.of(result)


def test_older_results_without_a_status_are_complete():
    assert divergence.of({}) is divergence.of({"status": "complete"}) is None
    assert str(divergence.of({"status": "diverged", "diverged": WHEN})) == (
        "diverged at iteration 3: the training loss is nan"
    )


# ---- commands -------------------------------------------------------------------------------------------------


LOST = f"seed {toy.DIVERGING} at iteration {toy.DIVERGED_AT} (training loss nan)"


def suite(methods='"dense", "rigl"', seeds=f"[0, 1, {toy.DIVERGING}]", more=""):
    text = toy.SUITE.replace("seeds = 2", f"seeds = {seeds}").replace('"dense", "rigl"', methods)
    Path("toys.toml").write_text(text + more)


def recorded(method="static"):
    """The run of a method that diverged."""
    (path,) = Path("runs").glob(f"*_{method}_*_seed{toy.DIVERGING}_*")
    return path


def test_the_rest_of_a_suite_is_complete_and_again_does_nothing(command):
    suite()
    code, out, err = command("run", "toys.toml", "--workers", "1")
    assert code == 0, "nothing is missing"
    assert err == [
        f"warning: 2 of 6 runs diverged, and their cells rank with nothing: dense toy {LOST}; rigl 0.5 toy {LOST}; "
        "lower the learning rate, or leave those cells as they are"
    ]
    assert [line.partition(" steps/s")[0].rpartition(", ")[0] for line in out if "of 3 seeds" in line] == [
        "dense toy: 3 of 3 seeds, 1 diverged", "rigl 0.5 toy: 3 of 3 seeds, 1 diverged",
    ]  # fmt: skip
    made = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    assert len(made) == 6
    code, again, told = command("run", "toys.toml", "--workers", "1")
    assert (code, told) == (0, err)
    assert again == out[out.index("MLflow runs: 6 new") + 1 :], "the same board, and nothing else"
    assert {path: path.stat().st_mtime_ns for path in made} == made

    _, out, _ = command("leaderboard", "--format", "json")
    rows = json.loads("\n".join(out))
    assert [(row["seeds"], row["diverged"], row["missing"]) for row in rows] == 2 * [([0, 1], [toy.DIVERGING], [])]
    _, out, _ = command("run", "toys.toml", "--dry-run", "--format", "json")
    plan = json.loads("\n".join(out))
    assert [(cell["to_do"], cell["diverged"]) for cell in plan["cells"]] == [(0, 1), (0, 1)]
    assert plan["totals"]["diverged"] == 2
    _, out, _ = command("run", "toys.toml", "--dry-run")
    assert "2 of the recorded runs diverged: what is told of them is what they were to cost" in out


def trained(command, *more, method="static"):
    return command(
        "train", "--method", method, "--backend", "toy", "--dataset", "dots", "--seed", toy.DIVERGING,
        "--recipe.steps", "12", "--recipe.batch-size", "4", *more,
    )  # fmt: skip


def test_train_says_so_and_its_exit_code_is_1(command):
    code, out, err = trained(command)
    assert (code, err) == (1, [])
    assert f"  test accuracy  none: the run diverged at iteration {toy.DIVERGED_AT}: the training loss is nan" in out
    assert any("12 steps were to be" in line for line in out)
    code, again, _ = trained(command)
    assert (code, again[0]) == (1, "recorded before:")


def test_what_needs_its_network_is_refused(command):
    trained(command)
    path = recorded()
    code, _, err = command("export", path)
    assert code == 2
    assert err[0].startswith(
        f"error: record {path} diverged at iteration 5: the training loss is nan; it has no network"
    )
    code, _, err = trained(command, "--ticket.source", path.name)
    assert code == 2
    assert err == [
        f"error: the run that its ticket is to come from, {path.name}, diverged at iteration 5: the training loss is "
        "nan; there is no mask to start from: ask for another source, or lower the learning rate of both"
    ]
    assert command("compare", path, path)[0] == 0


def test_runs_that_wait_for_its_ticket_fail_each_with_a_line(command):
    suite('"lottery"', f"[{toy.DIVERGING}]", "[search]\nremove = 0.4\n")
    code, _, err = command("run", "toys.toml", "--workers", "1")
    assert code == 1
    assert len(err) == 2
    assert "the run that its ticket is to come from, dots_lenet-300-100_dense_0_toy_seed105_" in err[0]
    assert err[1].endswith("the run that its ticket was to come from failed")
    _, out, _ = command("run", "toys.toml", "--dry-run")
    assert "2 of the runs to do start from a ticket of a run that diverged: they will fail" in out


def test_import_takes_it_in_whole(command):
    trained(command, "--sparsity", "0", "--rewind", "8", method="dense")
    path = recorded("dense")
    assert not (path / "rewind.safetensors").exists(), "it did not come so far"
    code, out, _ = command("import", "runs", "--records", "there", "--no-mlflow")
    assert (code, out[0]) == (0, "1 records read, 1 new, 0 were here")
    taken = records.read(Path("there") / path.name)
    assert taken.diverged == Divergence(toy.DIVERGED_AT, "train", "loss", "nan")
    assert same(path, taken.path) == []
