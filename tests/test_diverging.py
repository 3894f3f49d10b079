"""A run whose loss, accuracy or score is not finite ends as diverged: a whole record, and the same one each time."""

import json
import math
from dataclasses import replace

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
