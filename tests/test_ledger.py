"""The ledger: hand-computed cases, the published period of RigL, and a replay of every method's record."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replay
from sparsebench import ledger, records, results, runner
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.layers import Layer, linear
from sparsebench.method import random
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.prepare import prepare

pytest_plugins = ("command_line",)

FC = linear("fc", 4, 3)
CONV = Layer("conv", (2, 1, 3, 3), "conv", macs=18 * 25)  # 3 × 3 kernels, 5 × 5 outputs
LAYERS = (CONV, FC)
ACTIVE = {"conv": 9, "fc": 5}


def test_a_forward_pass_by_hand():
    assert ledger.dense(LAYERS) == 2 * (18 * 25 + 12) == 924
    assert ledger.forward(LAYERS, ACTIVE) == 2 * (9 * 25 + 5) == 460


def test_steps_and_a_dense_gradient_by_hand():
    account = ledger.Ledger(LAYERS, batch=8)
    account.steps(10, ACTIVE)
    account.dense_gradient(ACTIVE)
    assert account.executed["fc"] == {
        "forward": 8 * 11 * 10,
        "activation_gradient": 8 * 11 * 10,
        "weight_gradient": 8 * 10 * 10,
        "dense_weight_gradient": 8 * 24,
    }
    assert account.totals() == {
        "forward": 8 * 11 * 460,
        "activation_gradient": 8 * 11 * 460,
        "weight_gradient": 8 * 10 * 460,
        "dense_weight_gradient": 8 * 924,
    }


@pytest.mark.parametrize(
    ("method", "cost"),
    [
        (set_, 0),
        (rigl, 8 * (2 * 460 + 924)),
        (replace(rigl, grow=random, active_gradient=True), 8 * 3 * 460),
    ],
    ids=["no gradient", "dense", "of active connections"],
)
def test_what_an_update_costs(method, cost):
    account = ledger.Ledger(LAYERS, batch=8)
    account.update(method, ACTIVE)
    assert sum(account.totals().values()) == cost


@given(st.integers(1, 400), st.integers(0, 18), st.integers(0, 12), st.integers(1, 256))
def test_a_period_of_rigl_is_the_published_sum(delta_t, conv, fc, batch):
    active = {"conv": conv, "fc": fc}
    account = ledger.Ledger(LAYERS, batch)
    account.steps(delta_t - 1, active)
    account.dense_gradient(active)
    sparse, dense = 2 * (25 * conv + fc), 924
    assert sum(account.totals().values()) == batch * ((delta_t - 1) * 3 * sparse + 2 * sparse + dense)


# ---- whole runs -----------------------------------------------------------------------------------------------


def run(folder, method, steps=60, delta_t=4, multiplier=1.0, **updates):
    config = RunConfig(
        model="lenet-300-100", dataset="dots", method=method, backend="toy", sparsity=0.9, multiplier=multiplier,
        recipe=Recipe(steps=steps, batch_size=4), updates=Updates(delta_t=delta_t, **updates),
    )  # fmt: skip
    return records.read(runner.run(prepare(config), folder / "runs"))


def total(account):
    return {kind: sum(row[kind] for row in account.values()) for kind in replay.KINDS}


METHODS = (
    "dense", "static", "set", "rigl", "pruning", "rigl-2-4", "srigl", "srigl-unablated", "rigl-itop", "set-itop",
    "granet", "granet-global", "acdc", "acdc-global",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_paid_for_what_its_events_say(folder, method):
    record = run(folder, method)
    account = replay.executed_by_layer(record)
    assert record.result["executed_by_layer"] == account
    assert record.result["executed"] == total(account)
    assert record.result["training_flops"] == sum(total(account).values())
    assert list(replay.iterations(record.events())) == list(range(60))


def test_dense_is_three_forward_passes_a_sample(folder):
    result = run(folder, "dense").result
    forward = 2 * (4 * 300 + 300 * 100 + 100 * 2)
    assert result["training_flops"] == result["dense_training_flops"] == 3 * forward * 4 * 60
    assert (result["training_ratio"], result["inference_ratio"], result["inference_flops"]) == (1.0, 1.0, forward)


def test_rigl_over_whole_periods(folder):
    """ΔT steps before the first update, then in each period one update and ΔT − 1 steps."""
    record = run(folder, "rigl", steps=60, delta_t=4, end=1.0)
    sparse = 2 * sum(layer["macs"] // layer["size"] * layer["active"] for layer in record.layers)
    dense = record.result["dense_inference_flops"]
    periods = 14 * (3 * 3 * sparse + 2 * sparse + dense)
    assert record.result["training_flops"] == 4 * (4 * 3 * sparse + periods)


def test_a_multiplier_is_paid_for(folder):
    once, twice = run(folder, "dense"), run(folder, "dense", multiplier=2.0)
    assert twice.result["steps"] == 120
    assert twice.result["training_flops"] == 2 * once.result["training_flops"]
    assert twice.result["dense_training_flops"] == once.result["dense_training_flops"]
    assert twice.result["training_ratio"] == 2.0


def test_a_layer_without_entries_costs_nothing():
    empty = linear("empty", 0, 5)
    account = ledger.Ledger([FC, empty], batch=2)
    account.steps(3, {"fc": 6, "empty": 0})
    account.dense_gradient({"fc": 6, "empty": 0})
    assert set(account.executed["empty"].values()) == {0}
    assert ledger.forward([FC, empty], {"fc": 6, "empty": 0}) == ledger.forward([FC], {"fc": 6}) > 0
    assert results.layer_table([empty], {"empty": 0})[0]["density"] == 0
    assert empty.positions == 0
