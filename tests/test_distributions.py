"""Sparsity over layers: exact counts, an oracle in exact fractions, and the published tables."""

import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sparsebench import distributions
from sparsebench.conformance import oracle
from sparsebench.distributions import Apart, active, er, erk, uniform
from sparsebench.layers import Layer, linear
from strategies import layer, sparsities, tables

REFERENCE = Path(__file__).parents[1] / "../shared/reference/erk.json"
RATIOS = ((er, oracle.er_ratio), (erk, oracle.erk_ratio))

proportional = pytest.mark.parametrize(("distribution", "ratio_of"), RATIOS, ids=("er", "erk"))
every = pytest.mark.parametrize("distribution", distributions.DISTRIBUTIONS.values(), ids=distributions.DISTRIBUTIONS)


def counts(layers, plan):
    return [active(layer.size, plan[layer.name]) for layer in layers]


# ---- counts ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**8), sparsities)
def test_a_layer_has_its_size_less_the_floor_of_its_share(size, sparsity):
    assert active(size, sparsity) == size - math.floor(sparsity * size)
    assert 0 <= active(size, sparsity) <= size
    assert active(size, 0.0) == size
    if size:
        assert active(size, sparsity) > 0  # because the sparsity is below 1


@pytest.mark.parametrize(
    ("size", "sparsity", "expected"),
    [(10, 0.9, 1), (10, 0.95, 1), (10, 0.89, 2), (1, 0.999, 1), (1, 0.0, 1), (0, 0.5, 0), (1000, 0.98, 20)],
)
def test_counts_by_hand(size, sparsity, expected):
    assert active(size, sparsity) == expected


# ---- all distributions ----------------------------------------------------------------------------------------


@every
@given(layers=tables(), sparsity=sparsities)
def test_a_plan_names_every_layer_and_stays_in_bounds(distribution, layers, sparsity):
    plan = distribution(layers, sparsity)
    assert list(plan) == [layer.name for layer in layers]
    assert all(0.0 <= share <= 1.0 for share in plan.values())
    assert all(0 <= count <= layer.size for count, layer in zip(counts(layers, plan), layers, strict=True))


@every
@given(layers=tables())
def test_without_sparsity_everything_is_active(distribution, layers):
    assert counts(layers, distribution(layers, 0.0)) == [layer.size for layer in layers]


@every
@given(layers=tables(), pair=st.tuples(sparsities, sparsities))
def test_more_sparsity_leaves_no_layer_denser(distribution, layers, pair):
    low, high = (distribution(layers, sparsity) for sparsity in sorted(pair))
    assert all(low[name] <= high[name] + 1e-12 for name in low)


def test_names_are_those_of_the_settings():
    assert dict(distributions.DISTRIBUTIONS) == {"uniform": uniform, "er": er, "erk": erk}


# ---- uniform --------------------------------------------------------------------------------------------------


@given(layers=tables(), sparsity=sparsities)
def test_uniform_is_the_sparsity_itself_but_for_the_first_convolution(layers, sparsity):
    plan = uniform(layers, sparsity)
    convolutions = [layer.name for layer in layers if layer.kind == "conv"]
    for name, share in plan.items():
        assert share == (0.0 if name in convolutions[:1] else sparsity)


def test_uniform_leaves_no_layer_of_an_mlp_dense():
    layers = (linear("fc1", 784, 300), linear("fc2", 300, 100), linear("fc3", 100, 10))
    assert uniform(layers, 0.9) == {"fc1": 0.9, "fc2": 0.9, "fc3": 0.9}


# ---- Erdős–Rényi ----------------------------------------------------------------------------------------------


@proportional
@given(layers=tables(), sparsity=sparsities)
def test_densities_are_the_oracles(distribution, ratio_of, layers, sparsity):
    plan = distribution(layers, sparsity)
    exact = oracle.densities([layer.shape for layer in layers], sparsity, ratio_of)
    for entries, density in zip(layers, exact, strict=True):
        assert abs(Fraction(1) - Fraction(plan[entries.name]) - density) < 1e-12
        pruned = (1 - density) * entries.size
        if abs(pruned - round(pruned)) > 1e-6:  # else the last bit of float64 decides which side of it we floor
            assert active(entries.size, plan[entries.name]) == entries.size - math.floor(pruned)


@proportional
@given(layers=tables(), sparsity=sparsities)
def test_the_budget_is_kept_within_one_entry_a_layer(distribution, ratio_of, layers, sparsity):
    budget = sum(active(layer.size, sparsity) for layer in layers)
    assert abs(sum(counts(layers, distribution(layers, sparsity))) - budget) <= len(layers)


@proportional
@given(layers=tables(), sparsity=sparsities)
def test_densities_are_proportional_to_the_ratio_until_they_saturate(distribution, ratio_of, layers, sparsity):
    plan = distribution(layers, sparsity)
    scales = {layer.name: (1 - plan[layer.name]) / float(ratio_of(layer.shape)) for layer in layers}
    free = [scales[name] for name, share in plan.items() if share > 1e-12]
    full = [scales[name] for name, share in plan.items() if share <= 1e-12]
    if free:
        assert min(free) == pytest.approx(max(free), rel=1e-9, abs=1e-12)
        assert all(scale <= max(free) * (1 + 1e-9) for scale in full)


def test_layers_tied_at_the_largest_ratio_become_dense_together():
    layers = tuple(layer(shape, f"layer{i}") for i, shape in enumerate([(4, 4), (4, 4), (500, 500)]))
    plan = erk(layers, 0.98)
    assert plan["layer0"] == plan["layer1"] == 0.0
    budget = 1 + 1 + 5000  # what 0.98 leaves of 16, 16 and 250,000
    assert plan["layer2"] == pytest.approx(1 - (budget - 32) / 250_000, abs=1e-12)


@proportional
@pytest.mark.parametrize("densest", [Fraction(1, 2), Fraction(1, 4)], ids=str)
@given(layers=tables(), share=sparsities)
def test_no_layer_is_denser_than_is_allowed_and_the_others_have_the_rest(
    distribution, ratio_of, layers, densest, share
):
    sparsity = float(1 - densest + densest * Fraction(share))
    assume(sparsity < 1)
    plan = distribution(layers, sparsity, Apart(densest=float(densest)))
    exact = oracle.densities([layer.shape for layer in layers], sparsity, ratio_of, densest)
    for entries, density in zip(layers, exact, strict=True):
        assert 1 - plan[entries.name] <= densest
        assert abs(1 - Fraction(plan[entries.name]) - density) < 1e-9
    budget = sum(active(layer.size, sparsity) for layer in layers)
    assert abs(sum(counts(layers, plan)) - budget) <= len(layers)


def test_layers_of_their_own_may_be_denser_than_the_others():
    layers = (layer((4, 4), "a"), layer((4, 4), "b"), layer((500, 500), "c"))
    plan = erk(layers, 0.9, Apart({"a": 0.0}, densest=0.5))
    assert (plan["a"], plan["b"]) == (0.0, 0.5)


@given(layers=tables(convolutions=False), sparsity=sparsities)
def test_fully_connected_layers_use_er(layers, sparsity):
    assert erk(layers, sparsity) == er(layers, sparsity)


def test_erk_counts_the_kernel_and_er_does_not():
    layers = (layer((8, 8, 3, 3), "wide"), layer((8, 8, 1, 1), "narrow"), layer((64, 64), "fc"))
    exact = oracle.densities([layer.shape for layer in layers], 0.9, oracle.erk_ratio)
    assert exact[0] / exact[2] == Fraction(22, 576) / Fraction(128, 4096)
    assert (1 - erk(layers, 0.9)["wide"]) / (1 - erk(layers, 0.9)["fc"]) == pytest.approx(float(exact[0] / exact[2]))
    assert 1 - er(layers, 0.9)["wide"] == pytest.approx(1 - er(layers, 0.9)["narrow"])


# ---- published tables -----------------------------------------------------------------------------------------


PUBLISHED = [("resnet50", "0.8"), ("resnet50", "0.9"), ("wrn22_2_cifar10", "0.9")]


@pytest.mark.parametrize(("network", "sparsity"), PUBLISHED)
def test_published(network, sparsity):
    if not REFERENCE.exists():
        pytest.skip("no reference tables beside the repository (../shared/reference/erk.json)")
    reference = json.loads(REFERENCE.read_text())[network]
    layers = [_published(row) for row in reference["layers"]]
    table = reference["erk"][sparsity]
    plan = erk(layers, float(sparsity))
    assert {name: 1 - share for name, share in plan.items()} == pytest.approx(table["density"], abs=5.1e-9)
    assert dict(zip(plan, counts(layers, plan), strict=True)) == table["n_active"]
    assert sum(counts(layers, plan)) == table["total_active"]
    assert [name for name, share in plan.items() if share == 0.0] == table["saturated_dense_layers"]


def _published(row):
    height, width, n_in, n_out = row["shape_hwio"] if row["kind"] == "conv" else (1, 1, *row["shape_hwio"])
    shape = (n_out, n_in, height, width) if row["kind"] == "conv" else (n_out, n_in)
    return Layer(row["name"], shape, "conv" if row["kind"] == "conv" else "linear", row["macs"])


@pytest.mark.parametrize("distribution", [uniform, er, erk])
def test_a_layer_without_entries_takes_no_part(distribution):
    empty, others = linear("empty", 0, 5), [linear("a", 30, 20), linear("b", 20, 10)]
    with_it = distribution([empty, *others], 0.9)
    assert {name: with_it[name] for name in ("a", "b")} == distribution(others, 0.9)
    assert active(empty.size, with_it["empty"]) == 0
