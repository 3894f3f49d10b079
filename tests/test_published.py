"""Published formulas and accounts: what must hold for every method, network and convention."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench import policy
from sparsebench.conventions import CONVENTIONS, plain
from sparsebench.formulas import FORMULAS, Step, Timing
from sparsebench.layers import Layer, conv, linear
from sparsebench.pricing import Terms, document, price
from sparsebench.published import Account
from sparsebench.schedules import cubic
from sparsebench.widths import STORAGES, matching, parameters, scaled, stored_bits
from sparsebench_models.mobilenet import mobilenetv1
from sparsebench_models.resnet import resnet50
from sparsebench_models.wide_resnet import wrn_22_2

MODELS = (resnet50, mobilenetv1, wrn_22_2)
methods = pytest.mark.parametrize("method", FORMULAS)
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
conventions = pytest.mark.parametrize("convention", CONVENTIONS)
SMALL = (conv("stem", 3, 8, 3, (8, 8), role="stem"), conv("body", 8, 8, 3, (8, 8)), linear("fc", 8, 4, "classifier"))


def priced(model, sparsity, distribution="erk", **terms):
    layers = model.layers(model.input)
    plan = policy.plan(layers, distribution, sparsity, model.policy_under(distribution))
    return price(layers, plan, Terms(**terms))


# ---- formulas -------------------------------------------------------------------------------------------------


@methods
def test_shares_of_steps_add_up_to_one(method):
    assert sum(step.weight for step in FORMULAS[method](Timing())) == pytest.approx(1, abs=1e-12)


@given(sparse=st.floats(0.01, 1), delta_t=st.integers(1, 1000))
def test_formulas_are_the_papers(sparse, delta_t):
    """Appendix H, with f_D = 1 and f_S = `sparse`."""
    layer = (linear("fc", 1, 1),)
    expected = {
        "dense": 3.0,
        "static": 3 * sparse,
        "snip": 3 * sparse,
        "set": 3 * sparse,
        "snfs": 2 * sparse + 1,
        "rigl": (3 * sparse * delta_t + 2 * sparse + 1) / (delta_t + 1),
    }
    for method, cost in expected.items():
        steps = FORMULAS[method](Timing(delta_t=delta_t))
        account = Account(layer, {"fc": 1 - sparse}, steps, lambda layer, density: density)
        assert account.training == pytest.approx(cost)


def test_pruning_is_the_mean_over_its_samples():
    """32k steps, pruned every 1k from 10k to 25k: 33 samples, both ends included."""
    shares = [0.0] * 11 + [cubic((i - 10) / 15) for i in range(11, 25)] + [1.0] * 8
    assert len(shares) == 33
    steps = FORMULAS["pruning"](Timing())
    mean = sum(step.weight * step.sparsity for step in steps)
    assert mean == pytest.approx(sum(shares) / 33, rel=1e-12)
    assert not any(step.dense_gradient for step in steps)


def test_between_two_prunings_the_sparsity_stays():
    sampled = FORMULAS["pruning"](Timing(begin=5, end=25, every=10, steps=40))
    assert {step.sparsity: round(5 * step.weight) for step in sampled} == {0.0: 2, cubic(0.5): 1, 1.0: 2}


# ---- accounts -------------------------------------------------------------------------------------------------


@models
@conventions
def test_dense_training_is_the_yardstick(model, convention):
    found = priced(model, 0.0, method="dense", convention=convention)
    assert (found.training_ratio, found.inference_ratio) == (1.0, 1.0)
    assert found.dense.training == pytest.approx(3 * found.dense.inference, rel=1e-15)


@models
@conventions
@methods
@given(pair=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)))
def test_more_sparsity_never_costs_more(model, convention, method, pair):
    low, high = (
        priced(model, sparsity, "uniform", method=method, convention=convention, width=0.5) for sparsity in sorted(pair)
    )
    assert high.training_ratio <= low.training_ratio * (1 + 1e-12)
    assert high.inference_ratio <= low.inference_ratio * (1 + 1e-12)


@methods
@given(multiplier=st.floats(0.1, 100))
def test_the_multiplier_scales_training_and_not_inference(method, multiplier):
    once = priced(wrn_22_2, 0.9, method=method)
    longer = priced(wrn_22_2, 0.9, method=method, multiplier=multiplier)
    assert longer.training_ratio == pytest.approx(multiplier * once.training_ratio)
    assert longer.inference_ratio == once.inference_ratio


@models
@methods
def test_layers_and_steps_add_up_to_the_network(model, method):
    account = priced(model, 0.9, method=method).account
    by_step = sum(step.weight * account.of_step(step).total for step in account.steps)
    assert account.training == pytest.approx(by_step, rel=1e-12)
    assert account.training == pytest.approx(sum(account.of_layer(layer).total for layer in account.layers), rel=1e-12)


@models
def test_order_of_methods_by_cost(model):
    training = {method: priced(model, 0.9, method=method).account.training for method in FORMULAS}
    assert training["static"] == training["snip"] == training["set"] < training["rigl"] < training["snfs"]
    assert training["snfs"] < training["pruning"] < training["dense"]


def test_without_the_inputs_gradient_only_the_first_layer_is_cheaper():
    with_it = Account(SMALL, dict.fromkeys(("stem", "body", "fc"), 0.5), FORMULAS["rigl"](Timing()), plain)
    without = replace(with_it, input_gradient=False)
    stem, *others = SMALL
    assert without.of_layer(stem).activation_gradient == 0
    assert without.of_layer(stem).weight_gradient == with_it.of_layer(stem).weight_gradient
    assert [without.of_layer(layer) for layer in others] == [with_it.of_layer(layer) for layer in others]
    assert with_it.training - without.training == with_it.of_layer(stem).activation_gradient == stem.macs


def test_a_layer_without_a_rule_makes_every_total_unknown():
    layers = (*SMALL, Layer("attention", (4, 4), "other", 16))
    found = document(price(layers, dict.fromkeys((layer.name for layer in layers), 0.5), Terms("static")))
    assert found["unknown"] == ["attention"]
    totals = ("dense_inference_flops", "dense_training_flops_per_sample", "inference_flops",
              "training_flops_per_sample", "inference_ratio", "training_ratio")  # fmt: skip
    assert [found[key] for key in totals] == [None] * 6
    *known, unknown = found["layers"]
    assert (unknown["inference_flops"], unknown["forward"]) == (None, None)
    assert [row["forward"] for row in known] == [layer.macs for layer in SMALL]


def test_an_event_of_a_step_costs_what_its_kinds_cost():
    account = Account(SMALL, dict.fromkeys(("stem", "body", "fc"), 0.75), (), plain)
    cost = account.cost(SMALL[1], Step("update", 1.0, dense_gradient=True))
    flops = 2 * SMALL[1].macs
    assert (cost.forward, cost.activation_gradient, cost.weight_gradient) == (flops / 4, flops / 4, flops)


# ---- widths ---------------------------------------------------------------------------------------------------


def test_a_scaled_network_keeps_its_inputs_and_its_classes():
    layers = resnet50.layers(resnet50.input)
    narrow = scaled(layers, 0.465)
    assert narrow[0].shape == (29, 3, 7, 7)
    assert narrow[3].shape == (119, 29, 1, 1)  # ⌊256 · 0.465⌋ channels from ⌊64 · 0.465⌋
    assert narrow[-1].shape == (1000, 952)
    assert [layer.positions for layer in narrow] == [layer.positions for layer in layers]
    assert scaled(layers, 1.0) == layers


@given(width=st.floats(0.01, 3))
def test_channels_of_a_scaled_network_fit_together(width):
    layers = scaled(mobilenetv1.layers(mobilenetv1.input), width)
    outputs = 3
    for layer in layers:
        assert layer.shape[1] == (1 if layer.role == "depthwise" else outputs)
        outputs = layer.shape[0]
    assert outputs == 1000


@models
@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
@given(sparsity=st.floats(0.1, 0.98))
@settings(max_examples=10, deadline=None)
def test_no_width_in_thousandths_matches_better(model, storage, sparsity):
    layers = model.layers(model.input)
    plan = policy.plan(layers, "uniform", sparsity, model.policy_under("uniform"))
    dense = dict.fromkeys(plan, 0.0)
    width, wanted = matching(layers, plan, storage), storage(layers, plan)

    def miss(thousandths):
        return abs(storage(scaled(layers, thousandths / 1000), dense) - wanted)

    here = round(1000 * width)
    assert all(miss(here) <= miss(other) for other in range(max(1, here - 15), min(1000, here + 15)))


@pytest.mark.parametrize(("sparsity", "width"), [(0.85, 0.353), (0.9, 0.285), (0.95, 0.204)])
def test_widths_of_equal_storage_are_the_papers(sparsity, width):
    """google-research/rigl, MobileNet_Counting.ipynb: ERK with a dense stem and sparse depthwise kernels."""
    layers = mobilenetv1.layers(mobilenetv1.input)
    plan = policy.plan(layers, "erk", sparsity, policy.Policy(stem="dense"))
    assert matching(layers, plan, stored_bits) == width


def test_storage_by_hand():
    layers = (linear("fc1", 10, 4), linear("fc2", 4, 2))
    assert parameters(layers, {"fc1": 0.5, "fc2": 0.0}) == 28
    assert stored_bits(layers, {"fc1": 0.5, "fc2": 0.0}) == 32 * 28 + 32 * 6 + 40


def test_small_dense_is_dense_and_about_as_large():
    found = priced(resnet50, 0.9, method="small-dense")
    alive = 0.1 * sum(layer.size for layer in found.dense.layers)
    assert sum(layer.size for layer in found.account.layers) == pytest.approx(alive, rel=0.01)
    assert set(found.account.sparsities.values()) == {0.0}
    assert found.training_ratio == pytest.approx(found.inference_ratio, rel=1e-12)


def test_a_wider_network_has_the_densities_of_width_one():
    wide, once = (priced(mobilenetv1, 0.75, method="rigl", width=width) for width in (1.98, None))
    assert wide.account.sparsities == once.account.sparsities
    assert wide.dense == once.dense
    assert math.isclose(wide.width, 1.98)
    assert wide.account.layers[-1].shape == (1000, int(1024 * 1.98))
