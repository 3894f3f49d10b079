"""What stands apart from a distribution: outside its budget, or dense within it."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import reference
from sparsebench import policy
from sparsebench.config import Recipe, Roles, RunConfig
from sparsebench.distributions import DISTRIBUTIONS, RATIOS, Apart, active, er, erk, solve, uniform
from sparsebench.errors import UserError
from sparsebench.layers import Layer, conv, depthwise, linear
from sparsebench.models import Input, Model
from sparsebench.policy import EVERY_LAYER, STANDARD, Policy
from sparsebench.prepare import prepare
from sparsebench_models.lenet import lenet_300_100
from sparsebench_models.mobilenet import mobilenetv1, mobilenetv1_big
from sparsebench_models.resnet import resnet50
from sparsebench_models.wide_resnet import wrn_22_2

every = pytest.mark.parametrize("distribution", DISTRIBUTIONS)
sparsities = st.floats(0.05, 0.95)


@st.composite
def tables(draw):
    """Between three and six layers; the first is the stem, one is depthwise, the last is the classifier."""
    sides = st.integers(2, 40)
    kernels = draw(st.lists(st.sampled_from((1, 3)), max_size=3))
    body = [conv(f"conv{i}", draw(sides), draw(sides), kernel, (8, 8)) for i, kernel in enumerate(kernels)]
    return (
        conv("stem", 3, draw(sides), 3, (8, 8), role="stem"),
        depthwise("dw", draw(sides), 3, (8, 8)),
        *body,
        linear("fc", draw(sides), draw(sides), role="classifier"),
    )


def counts(layers, plan):
    return {layer.name: active(layer.size, plan[layer.name]) for layer in layers}


# ---- outside the budget ---------------------------------------------------------------------------------------


@every
@given(layers=tables(), sparsity=sparsities, own=st.floats(0, 0.99))
def test_a_layer_outside_the_budget_keeps_its_own_and_changes_nothing_else(distribution, layers, sparsity, own):
    plan = DISTRIBUTIONS[distribution](layers, sparsity, Apart({"stem": own}))
    assert plan["stem"] == own
    without = DISTRIBUTIONS[distribution](layers[1:], sparsity, Apart())
    assert {name: share for name, share in plan.items() if name != "stem"} == without


# ---- dense within the budget ----------------------------------------------------------------------------------


@every
@given(layers=tables(), sparsity=sparsities)
def test_what_is_dense_within_the_budget_is_paid_for_by_the_others(distribution, layers, sparsity):
    sizes = {layer.name: layer.size for layer in layers}
    budget = sum(active(size, sparsity) for size in sizes.values())
    assume(budget > sizes["dw"] + len(layers))
    plan = DISTRIBUTIONS[distribution](layers, sparsity, Apart(dense=frozenset({"dw"})))
    assert plan["dw"] == 0.0
    assert abs(sum(counts(layers, plan).values()) - budget) <= len(layers)
    assert all(0 <= share <= 1 for share in plan.values())


def test_a_budget_that_dense_layers_use_up_is_refused():
    layers = (linear("big", 100, 100, role="stem"), linear("small", 10, 10))
    for distribution in DISTRIBUTIONS.values():
        with pytest.raises(UserError, match=r"sparsity 0\.9 leaves nothing for the other layers"):
            distribution(layers, 0.9, Apart(dense=frozenset({"big"})))


# ---- choices by role ------------------------------------------------------------------------------------------


@given(layers=tables(), sparsity=sparsities, choice=st.sampled_from(("stem", "depthwise", "classifier")))
def test_a_dense_role_is_outside_the_budget(layers, sparsity, choice):
    (name,) = policy.members(layers, choice)
    plan = policy.plan(layers, "uniform", sparsity, Policy(**{choice: "dense"}))
    assert plan == {layer.name: 0.0 if layer.name == name else sparsity for layer in layers}


def test_own_sparsities_come_before_the_policy():
    layers = (linear("fc1", 8, 8, role="stem"), linear("fc2", 8, 8))
    for choice in ("dense", "within"):
        assert policy.apart(layers, Policy(stem=choice), {"fc1": 0.5}) == Apart({"fc1": 0.5})


@pytest.mark.parametrize(("own", "told"), [({"fc3": 0.5}, "unknown layer 'fc3'"), ({"fc1": 1.0}, "below 1, given 1")])
def test_own_sparsities_that_make_no_sense_are_refused(own, told):
    with pytest.raises(UserError, match=told):
        policy.apart((linear("fc1", 8, 8), linear("fc2", 8, 8)), Policy(), own)


def test_a_table_without_roles_has_its_first_convolution_for_a_stem():
    layers = (linear("embed", 4, 4), Layer("a", (4, 4, 1, 1), "conv", 16), Layer("b", (4, 4, 1, 1), "conv", 16))
    assert policy.members(layers, "stem") == ("a",)
    assert policy.members(layers[:1], "stem") == ()
    model = Model("m", "", lambda input: layers)
    assert policy.plan(layers, "uniform", 0.5, model.policy_under("uniform")) == uniform(layers, 0.5)


# ---- what the models declare ----------------------------------------------------------------------------------


def dense_layers(model, distribution):
    """Layers that stand apart as dense, and those that are sparse, at 0.5."""
    layers = model.layers(model.input)
    apart = policy.apart(layers, model.policy_under(distribution))
    return set(apart.own), {layer.name for layer in layers} - set(apart.own)


@pytest.mark.parametrize("model", [resnet50, wrn_22_2], ids=lambda model: model.name)
def test_residual_networks_keep_the_stem_dense_under_uniform_only(model):
    names = {layer.name for layer in model.layers(model.input)}
    assert dense_layers(model, "uniform") == ({"conv1"}, names - {"conv1"})
    assert dense_layers(model, "erk") == dense_layers(model, "er") == (set(), names)


@pytest.mark.parametrize("model", [mobilenetv1, mobilenetv1_big], ids=lambda model: model.name)
@every
def test_mobilenet_keeps_stem_and_depthwise_kernels_dense(model, distribution):
    dense, sparse = dense_layers(model, distribution)
    assert len(dense) == 14
    assert len(sparse) == 14
    assert sparse >= {"classifier", "blocks.0.0.conv_pw", "blocks.4.1.conv_pw"}
    assert dense >= {"conv_stem", "blocks.0.0.conv_dw", "blocks.4.1.conv_dw"}


@every
def test_lenet_has_no_exception(distribution):
    assert dense_layers(lenet_300_100, distribution) == (set(), {"fc1", "fc2", "fc3"})
    assert EVERY_LAYER.keys() == STANDARD.keys() == DISTRIBUTIONS.keys()


@pytest.mark.parametrize(("stated", "real"), [(0.75, 0.742), (0.85, 0.841), (0.9, 0.89), (0.95, 0.94)])
@every
def test_mobilenets_real_sparsity_is_the_papers(distribution, stated, real):
    """Evci et al., 2020, section 4.1.2: with first and depthwise layers counted, 74.2, 84.1, 89 and 94 %."""
    layers = mobilenetv1.layers(mobilenetv1.input)
    plan = policy.plan(layers, distribution, stated, mobilenetv1.policy_under(distribution))
    assert 1 - sum(counts(layers, plan).values()) / sum(layer.size for layer in layers) == pytest.approx(real, abs=5e-4)


# ---- ε --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name", "sparsity"),
    [(resnet50, "resnet50", "0.8"), (resnet50, "resnet50", "0.9"), (wrn_22_2, "wrn22_2_cifar10", "0.9")],
)
def test_epsilon_and_saturated_layers_are_the_published_ones(model, name, sparsity):
    layers, table = model.layers(model.input), reference.read("erk.json")[name]["erk"][sparsity]
    solution = solve(layers, float(sparsity), RATIOS["erk"])
    assert solution.epsilon == pytest.approx(table["eps"], abs=1e-7)
    assert solution.saturated == set(table["saturated_dense_layers"])
    plan = policy.plan(layers, "erk", float(sparsity), model.policy_under("erk"))
    assert {name: 1 - share for name, share in plan.items()} == pytest.approx(table["density"], abs=1e-7)
    assert counts(layers, plan) == table["n_active"]


@pytest.mark.parametrize("distribution", [er, erk])
@given(layers=tables(), sparsity=sparsities)
def test_densities_are_epsilon_times_the_ratio_or_saturated(distribution, layers, sparsity):
    ratio = RATIOS[distribution.__name__]
    solution, plan = solve(layers, sparsity, ratio), distribution(layers, sparsity)
    for layer in layers:
        expected = 1.0 if layer.name in solution.saturated else solution.epsilon * ratio(layer)
        assert math.isclose(1 - plan[layer.name], expected, abs_tol=1e-12)


def test_where_every_layer_stands_apart_there_is_no_epsilon():
    layers = (linear("fc1", 8, 8), linear("fc2", 4, 4))
    apart = Apart({"fc1": 0.25}, frozenset({"fc2"}))
    assert solve(layers, 0.5, RATIOS["er"], apart).epsilon is None
    assert erk(layers, 0.5, apart) == {"fc1": 0.25, "fc2": 0.0}


def test_a_models_image_is_its_height_and_width():
    assert Input((3, 5, 7), 2).image == (5, 7)


def test_a_run_may_choose_for_special_layers_and_records_it():
    def prepared(**changes):
        settings = {"model": "lenet-300-100", "dataset": "digits", "backend": "torch", "method": "static"}
        return prepare(RunConfig(**settings, sparsity=0.9, recipe=Recipe(steps=1), **changes))

    plain, chosen = prepared(), prepared(policy=Roles(classifier="dense"))
    assert plain.identity["policy"] == {"stem": "sparse", "depthwise": "sparse", "classifier": "sparse"}
    assert chosen.identity["policy"]["classifier"] == "dense"
    assert plain.sparsities["fc3"] > 0 == chosen.sparsities["fc3"]
    assert plain.id != chosen.id
