"""What a run will execute is what it executed, for every method; seconds and makespans follow from what is given."""

import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tasks
from sparsebench import ledger, plugins, records, runner, suite
from sparsebench.cli.plan import forecasts
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, RunConfig, Ticket, Updates
from sparsebench.distributions import active
from sparsebench.errors import UserError
from sparsebench.forecast import COSTS, Calibration, forecast, seconds
from sparsebench.layers import Layer
from sparsebench.makespan import Timed, makespan
from sparsebench.masks import budget
from sparsebench.models import Model
from sparsebench.prepare import prepare
from sparsebench.sources import recorded

EVERYTHING = """
title = "every method on the digits, and tickets"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
steps = 40
batch_size = 32
[updates]
delta_t = 5
[search]
remove = 0.6
rewind = 7
[grid]
methods = [{methods}]
sparsities = [0.9]
backends = ["torch"]
seeds = 1
[[also]]
methods = ["static", "rigl"]
sparsities = [0.95]
multipliers = [1.5]
distributions = ["uniform", "erk"]
backends = ["torch"]
seeds = 1
tickets = [{{ weights = "redrawn" }}, {{ mask = "shuffled" }}, {{ method = "snfs-redistributed" }}]
"""


def config(method="rigl", steps=40, **changes):
    settings = {"model": "lenet-300-100", "dataset": "digits", "backend": "torch", "sparsity": 0.9}
    return RunConfig(**{**settings, "method": method, "recipe": Recipe(steps=steps, batch_size=32), **changes})


# ---- FLOPs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every method of the house once, and runs from tickets: (run, what was expected, its record)."""
    tasks.trainer_on("torch")
    root = tmp_path_factory.mktemp("runs")
    methods = ", ".join(f'"{name}"' for name in plugins.names("methods"))
    asked = suite.runs(suite.parse(tomllib.loads(EVERYTHING.format(methods=methods)), Path("s.toml")))
    entries = prepare_all(asked, None, root)
    expected = forecasts(entries, root)
    for entry in entries:
        source = recorded(root, entry.after) if entry.after else None
        runner.run(prepare(entry.asked, None, source), root)
    return [(entry, expected[entry.id], records.read(root / entry.id)) for entry in entries]


def test_costs_are_the_records_to_the_last_digit(everything):
    exact = {entry.prepared.method.name for entry, expected, _ in everything if expected.exact}
    assert exact == {name for name in plugins.names("methods") if not plugins.load("methods", name).moves_counts}
    for entry, expected, record in everything:
        if expected.exact:
            assert expected.costs == {name: record.result[name] for name in COSTS}, entry.label
            assert expected.active == {row["name"]: row["active"] for row in record.layers}
            assert expected.settled


def test_what_moves_is_an_estimate_with_the_right_total(everything):
    estimates = [each for each in everything if not each[1].exact]
    assert {entry.prepared.method.name for entry, *_ in estimates} == {
        "snip-global", "snfs-redistributed", "pruning-global", "lottery-global", "static", "rigl", "granet-global",
        "acdc-global", "srigl",
    }  # fmt: skip
    for entry, expected, record in estimates:
        if entry.prepared.method.name == "srigl":  # ablation leaves a rest that no whole share of an output is
            outputs = sum(row["shape"][0] for row in record.layers)
            assert 0 <= sum(expected.active.values()) - record.result["active_parameters"] < outputs
            assert expected.costs["training_flops"] >= record.result["training_flops"]
            continue
        assert sum(expected.active.values()) == record.result["active_parameters"]
        # each connection of a multi-layer perceptron costs the same, wherever it is
        for name in ("training_flops", "inference_flops"):
            assert expected.costs[name] == record.result[name]


def test_work_is_what_the_events_say(everything):
    for _, expected, record in everything:
        events = record.events()
        kinds = [event["kind"] for event in events]
        assert (expected.updates, expected.evaluations) == (kinds.count("update"), kinds.count("evaluate"))
        assert expected.steps == sum(event["stop"] - event["start"] for event in events if event["kind"] == "train")


def test_what_a_run_executes_itself_leaves_its_search_out(everything):
    searches = [(expected, record) for _, expected, record in everything if expected.costs["source_training_flops"]]
    assert len(searches) > 4
    for expected, record in searches:
        assert expected.executed == sum(record.result["executed"].values())


def test_what_is_recorded_is_known(everything):
    entries = [entry for entry, *_ in everything]
    again = forecasts(entries, everything[0][2].path.parent)
    for entry, _, record in everything:
        assert again[entry.id].exact
        assert again[entry.id].costs == {name: record.result[name] for name in COSTS}


@given(
    st.sampled_from(["set", "rigl", "snfs", "pruning", "snip", "granet", "acdc"]),
    st.integers(1, 300), st.integers(1, 40), st.floats(0, 1), st.floats(0, 0.98),
)  # fmt: skip
def test_costs_are_those_of_one_iteration_after_the_other(method, steps, delta_t, alpha, sparsity):
    try:
        prepared = prepare(config(method, steps, sparsity=sparsity, updates=Updates(delta_t=delta_t, alpha=alpha)))
    except UserError:
        assume(False)  # no update falls into the run
    account, now = by_iteration(prepared)
    expected = forecast(prepared)
    assert expected.executed == sum(account.totals().values())
    assert expected.active == now
    assert expected.steps + sum(event.replaces_step for event in prepared.method.events(steps)) == steps


def by_iteration(prepared):
    """The ledger and the counts of a run by the book."""
    task, method = prepared.task, prepared.method
    account = ledger.Ledger(task.layers, task.recipe.batch_size)
    now = {x.name: active(x.size, prepared.first[x.name]) for x in task.layers}
    for i in range(task.steps):
        event = method.when(method.clock(task.steps), i)
        if not (event and event.replaces_step):
            (account.observed_steps if method.observe else account.steps)(1, now)
        if event:
            if method.needs_gradient:
                account.dense_gradient(now)
            counts = budget(method, task.layers, prepared.sparsities, now, event, prepared.first)
            now = {name: count.active for name, count in counts.items()}
    return account, now


def on_convolutions(method):
    """A run of the small convolutional test net, half of it sparse."""
    prepared = prepare(config(method, sparsity=0.5, updates=Updates(delta_t=4)))
    task = tasks.task(tasks.conv)
    plan, first = ({layer.name: each for layer in task.layers} for each in (0.5, prepared.method.first(0.5)))
    return replace(prepared, task=task, sparsities=plan, first=first)


@pytest.mark.parametrize("method", ["snip-global", "pruning-global", "snfs-redistributed"])
def test_estimates_err_by_no_more_than_moving_everything_would(tmp_path, method):
    tasks.trainer_on("torch")
    prepared = on_convolutions(method)
    expected, record = forecast(prepared), records.read(runner.run(prepared, tmp_path))
    layers, batch = prepared.task.layers, prepared.task.recipe.batch_size
    size = sum(layer.size for layer in layers)
    gap = max(spread(layers, total) for total in range(sum(expected.active.values()), size + 1))
    assert not expected.exact
    assert {row["name"]: row["active"] for row in record.layers} != expected.active, "it moved"
    error = abs(expected.costs["training_flops"] - record.result["training_flops"])
    assert 0 < error <= 3 * batch * prepared.task.steps * gap
    assert abs(expected.costs["inference_flops"] - record.result["inference_flops"]) <= gap
    assert error <= 0.25 * record.result["training_flops"]


def spread(layers, total):
    """Between a forward pass with all of a network's connections where they cost most, and where least."""
    ends = []
    for dearest in (True, False):
        left, cost = total, 0
        for layer in sorted(layers, key=lambda layer: layer.positions, reverse=dearest):
            cost += 2 * layer.positions * min(left, layer.size)
            left -= min(left, layer.size)
        ends.append(cost)
    return ends[0] - ends[1]


def test_what_has_no_rule_makes_all_of_it_unknown():
    prepared = prepare(config("static"))
    layers = (*prepared.task.layers, Layer("attention", (0,), "other", 0))
    task = replace(prepared.task, model=Model("odd", "has attention", lambda input: layers))
    plan = {**prepared.sparsities, "attention": 0.0}
    expected = forecast(replace(prepared, task=task, sparsities=plan, first=plan))
    assert set(expected.costs.values()) == {None}
    assert expected.executed is None
    ticket = forecast(prepare(config("static", ticket=Ticket(source="odd"))), expected)
    assert set(ticket.costs.values()) == {None}, "its search has cost who knows what"


def test_a_long_run_is_replayed_in_legs(monkeypatch):
    entered = []
    steps = ledger.Ledger.steps
    monkeypatch.setattr(
        ledger.Ledger, "steps", lambda self, count, now: entered.append(count) or steps(self, count, now)
    )
    expected = forecast(prepare(config(steps=100_000)))
    assert sum(entered) == expected.steps
    assert len(entered) <= expected.updates + 70


# ---- seconds --------------------------------------------------------------------------------------------------

MEASURED = Calibration(32, 0.25, 0.5, {"rigl": 1.0, "set": 0.125}, 0.75, 3.0, 60.0)


def test_seconds_by_hand():
    prepared = prepare(config(steps=400, updates=Updates(delta_t=100)))
    expected = forecast(prepared)
    assert (expected.steps, expected.updates, expected.evaluations) == (398, 2, 10)
    assert len(prepared.task.dataset.test.labels) < prepared.task.evaluation_batch, "one batch"
    assert seconds(prepared, expected, MEASURED) == 3 + 398 * 0.25 + 2 * 1.0 + 10 * 0.75


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 1000), st.sampled_from(["rigl", "set", "static"]))
def test_seconds_are_linear_in_steps_updates_and_evaluations(steps, more, updates, method):
    prepared = prepare(config(method, steps=400))
    least = replace(forecast(prepared), steps=steps, updates=updates)
    taken = seconds(prepared, least, MEASURED)
    assert seconds(prepared, replace(least, steps=steps + more), MEASURED) == taken + more * 0.25
    update = MEASURED.updates.get(method, 0.0)
    assert seconds(prepared, replace(least, updates=updates + more), MEASURED) == taken + more * update
    evaluations = least.evaluations + more
    assert seconds(prepared, replace(least, evaluations=evaluations), MEASURED) == taken + more * 0.75


def test_a_part_of_a_batch_is_scaled_by_samples():
    prepared, part = prepare(config(steps=400)), replace(MEASURED, samples=8)
    expected = replace(forecast(prepared), steps=10, updates=1, evaluations=0)
    assert seconds(prepared, expected, part) == 3 + 10 * 4 * 0.25 + 1.0 + 3 * 0.25, "the gradient is one more step's"


def test_methods_that_observe_have_steps_of_their_own():
    prepared = prepare(config("snfs", steps=400))
    expected = replace(forecast(prepared), steps=10, updates=0, evaluations=0)
    assert seconds(prepared, expected, MEASURED) == 3 + 10 * 0.5


# ---- side by side ---------------------------------------------------------------------------------------------


@st.composite
def chains(draw):
    """Jobs of which some wait for the one before."""
    jobs = []
    for k in range(draw(st.integers(1, 12))):
        after = str(k - 1) if k and draw(st.booleans()) else ""
        lane = jobs[-1].lane if after else draw(st.sampled_from("ab"))
        jobs.append(Timed(str(k), lane, draw(st.integers(0, 9)), after))
    return jobs


@given(chains(), st.integers(1, 4))
def test_no_more_than_the_work_shared_out_and_the_longest_chain(jobs, workers):
    total, longest, chain = sum(job.seconds for job in jobs), 0, 0
    for before, job in pairwise([Timed("", "", 0), *jobs]):
        chain = job.seconds + (chain if job.after == before.id and job.after else 0)
        longest = max(longest, chain)
    taken = makespan(jobs, workers, {})
    assert max(total / workers, longest) <= taken <= total / workers + longest


def test_workers_begin_once_and_are_set_up_once_for_each_kind():
    jobs = [Timed(str(k), "a", 1.0, kind="xy"[k % 2], setup=10.0) for k in range(4)]
    assert makespan(jobs, 1, {"a": 100.0}) == 100 + 2 * 10 + 4
    assert makespan(jobs, 2, {"a": 100.0}) == 100 + 10 + 2
    assert makespan(jobs, 1, {}) == 24
    assert makespan([], 2, {}) == 0


def test_a_worker_goes_where_most_jobs_wait_for_each_worker():
    jobs = [Timed("a0", "a", 1.0), *(Timed(f"b{k}", "b", 1.0) for k in range(3))]
    assert makespan(jobs, 2, {"a": 1.0, "b": 1.0}) == 4.0
    assert makespan(jobs, 1, {"a": 1.0, "b": 1.0}) == 6.0
