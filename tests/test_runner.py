"""The runner: a timetable that leaves nothing out, a loop that follows it, and no record of what went wrong.

Runs that diverge have one: see test_diverging.
"""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
import toy
from sparsebench import plugins, records, runner
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.journal import Journal
from sparsebench.method import Event
from sparsebench.prepare import prepare
from sparsebench.timeline import timeline
from sparsebench.trainer import Backend, Metrics, Tally

pytest_plugins = ("command_line",)

STEPS = st.integers(1, 700)


@st.composite
def timetables(draw):
    """(length, events on any of its iterations)."""
    steps = draw(STEPS)
    due = draw(st.dictionaries(st.integers(0, steps - 1), st.booleans(), max_size=20))
    return steps, tuple(Event(i, replaces_step=replaces) for i, replaces in sorted(due.items()))


# ---- the timetable --------------------------------------------------------------------------------------------


@given(timetables())
def test_every_iteration_is_consumed_once_in_order(timetable):
    steps, events = timetable
    consumed = []
    for leg in timeline(steps, events, 10):
        consumed += range(leg.start, leg.stop)
        if leg.event and leg.event.replaces_step:
            consumed.append(leg.event.iteration)
        assert leg.done == len(consumed), "what is done is told as it is"
    assert consumed == list(range(steps))


@given(timetables())
def test_every_event_has_its_place(timetable):
    steps, events = timetable
    legs = [leg for leg in timeline(steps, events, 10) if leg.event]
    assert tuple(leg.event for leg in legs) == events
    for leg in legs:
        trained = leg.event.iteration in range(leg.start, leg.stop)
        assert trained is not leg.event.replaces_step
        assert leg.done == leg.event.iteration + 1, "right after its iteration"


@given(timetables())
def test_evaluations_are_ten_and_the_last_is_at_the_end(timetable):
    steps, events = timetable
    done = [leg.done for leg in timeline(steps, events, 10) if leg.evaluated]
    assert done[-1] == steps
    assert done == sorted(set(done))
    assert len(done) == min(10, steps)
    if steps >= 10:
        assert all(abs(at - steps * k / 10) <= 0.5 for k, at in enumerate(done, start=1))


@given(timetables())
def test_no_leg_is_longer_than_a_fiftieth(timetable):
    steps, events = timetable
    legs = list(timeline(steps, events, 10))
    assert all(leg.done - leg.start <= max(1, steps // 50) for leg in legs)
    assert all(before.done == after.start for before, after in pairwise(legs))


# ---- the loop -------------------------------------------------------------------------------------------------


class Recorder(toy.Toy):
    """Notes what it is asked to do; its accuracy tells how much that was."""

    def __init__(self):
        self.log = []

    def train(self, state, method, feed, start, stop):
        self.log += [("step", i) for i in range(start, stop)]
        return state, Tally(np.arange(start, stop, dtype=np.float32))

    def update(self, state, method, event, budget, feed):
        self.log.append(("update", event.iteration))
        return super().update(state, method, event, budget, feed)

    def evaluate(self, state, split):
        self.log.append(("evaluate", split))
        return Metrics(len(self.log) / 1000, 0.5)


@pytest.fixture
def start(folder):
    """Runs a method with a trainer; returns the record."""

    def run(method="rigl", trainer=None, steps=40, progress=lambda done, steps: None):
        config = RunConfig(
            model="lenet-300-100", dataset="dots", method=method, backend="toy", sparsity=0.5,
            recipe=Recipe(steps=steps, batch_size=4), updates=Updates(delta_t=5),
        )  # fmt: skip
        backend = Backend("toy", "notes", lambda device: trainer or Recorder())
        prepared = replace(prepare(config), backend=backend)
        return records.read(runner.run(prepared, Path("runs"), progress=progress))

    return run


def by_the_book(method, steps):
    """One iteration after the other, as the clock says."""
    clock = replace(plugins.load("methods", method), delta_t=5).clock(steps)
    for i in range(steps):
        event = plugins.load("methods", method).when(clock, i)
        if not (event and event.replaces_step):
            yield "step", i
        if event:
            yield "update", i
        if (i + 1) % (steps // 10) == 0:
            yield "evaluate", "test"


@pytest.mark.parametrize("method", ["dense", "static", "set", "rigl", "pruning"])
def test_a_run_is_what_the_clock_says(start, method):
    trainer = Recorder()
    record = start(method, trainer)
    assert trainer.log == list(by_the_book(method, 40))
    assert list(replay.iterations(record.events())) == list(range(40))
    assert record.result["accuracy"] == len(trainer.log) / 1000, "the last evaluation's"


def test_set_updates_after_its_step_and_rigl_instead(start):
    logs = {}
    for method in ("set", "rigl"):
        trainer = Recorder()
        start(method, trainer)
        logs[method] = [entry for entry in trainer.log if entry[1] == 5]
    assert logs == {"set": [("step", 5), ("update", 5)], "rigl": [("update", 5)]}


def test_events_tell_losses_and_changes(start):
    record = start("rigl")
    events = record.events()
    for event in events:
        if event["kind"] == "train":
            assert event["loss"] == (event["start"] + event["stop"] - 1) / 2
    updates = [event for event in events if event["kind"] == "update"]
    assert [event["iteration"] for event in updates] == [5, 10, 15, 20, 25]
    assert [event["drop_fraction"] for event in updates] == [
        pytest.approx(0.15 * (1 + math.cos(math.pi * i / 30))) for i in (5, 10, 15, 20, 25)
    ]
    for layer in record.layers:
        changes = [event["layers"][layer["name"]] for event in updates]
        assert {change["active"] for change in changes} == {layer["active"]}
        assert all(change["grown"] == change["dropped"] for change in changes)
        assert layer["active"] == np.count_nonzero(record.masks()[layer["name"]])


def test_progress_is_told_up_to_the_end(start):
    told = []
    start(progress=lambda done, steps: told.append((done, steps)))
    assert told == [(done, 40) for done in range(1, 41)]


def test_a_run_of_one_step(start):
    trainer = Recorder()
    assert start("static", trainer, steps=1).result["steps"] == 1
    assert trainer.log == [("step", 0), ("evaluate", "test")]


# ---- what goes wrong ------------------------------------------------------------------------------------------


class Broken(Recorder):
    """Breaks on the way."""

    def evaluate(self, state, split):
        raise RuntimeError("the device fell off the bus")


class Unwilling(Recorder):
    """Supports nothing."""

    def supports(self, task, method):
        return "no sparse tensors here: choose another backend"


@pytest.mark.parametrize(
    ("trainer", "error", "told"),
    [
        (Broken(), RuntimeError, "fell off the bus"),
        (Unwilling(), UserError, "backend 'toy' cannot run 'static' here: no sparse tensors here"),
    ],
    ids=["crash", "unsupported"],
)
def test_what_goes_wrong_leaves_no_record(start, trainer, error, told):
    with pytest.raises(error, match=told):
        start("static", trainer)
    assert not list(Path("runs").glob("*"))


# ---- speed ----------------------------------------------------------------------------------------------------


def train(start, stop, seconds):
    return {"kind": "train", "start": start, "stop": stop, "seconds": seconds}


def update(seconds, replaces_step):
    return {"kind": "update", "iteration": 10, "seconds": seconds, "replaces_step": replaces_step}


def test_speed_is_that_of_the_undisturbed_steps():
    first, once = train(0, 10, 0.1), train(10, 11, 0.01)  # too few to count
    usual = [train(11 + 10 * k, 21 + 10 * k, seconds) for k, seconds in enumerate([5.0, 1.0, 8.0, 1.0, 30.0, 2.0])]
    evaluation = {"kind": "evaluate", "seconds": 100.0}
    assert Journal([first, once, *usual, evaluation]).steps_per_second() == pytest.approx(1 / 0.1)


@given(st.lists(st.floats(0.01, 0.02), min_size=40, max_size=40), st.sets(st.integers(1, 39), max_size=30))
def test_disturbances_do_not_slow_a_run_down(paces, disturbed):
    events = [train(10 * k, 10 * k + 10, 10 * pace * (100 if k in disturbed else 1)) for k, pace in enumerate(paces)]
    assert 50 <= Journal(events).steps_per_second() <= 100


@pytest.mark.parametrize(("replaces_step", "steps"), [(True, 23), (False, 20)])
def test_updates_cost_their_time_and_count_if_they_consume_a_batch(replaces_step, steps):
    updates = [update(seconds, replaces_step) for seconds in (0.1, 0.5, 0.5)]
    events = [train(0, 10, 7.0), updates[0], train(11, 21, 1.0), *updates[1:]]
    assert Journal(events).steps_per_second() == pytest.approx(steps / (20 * 0.1 + 3 * 0.5))


def test_a_segment_that_a_run_diverged_in_counts_and_no_steps_have_no_speed():
    lost = {"kind": "diverged", "during": "train", "start": 10, "stop": 20, "seconds": 2.0}
    journal = Journal([train(0, 10, 9.0), lost])
    assert journal.steps_per_second() == pytest.approx(20 / (20 * 0.2))
    assert journal.seconds() == {"train": 11.0, "update": 0, "evaluate": 0}
    assert (
        Journal([{"kind": "diverged", "during": "update", "iteration": 0, "seconds": 1.0}]).steps_per_second() is None
    )


def test_speed_of_what_took_no_time_is_finite():
    assert 0 < Journal([train(0, 10, 0.0)]).steps_per_second() < math.inf
