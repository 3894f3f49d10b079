"""FLOPs of one layer by each convention: by hand, and against totals that the paper's own code printed."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench import policy
from sparsebench.conventions import CONVENTIONS, plain, rigl_paper
from sparsebench.layers import Layer, conv, depthwise, linear
from sparsebench.policy import Policy
from sparsebench.widths import scaled
from sparsebench_models.mobilenet import mobilenetv1
from sparsebench_models.resnet import resnet50

every = pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=CONVENTIONS)

BY_HAND = {
    "linear": (linear("fc", 784, 300), 2 * 784 * 300, 300),
    "same size": (conv("c", 16, 32, 3, (8, 8)), 2 * 16 * 32 * 9 * 64, 32 * 64),
    "half size": (conv("c", 16, 32, 3, (9, 8), stride=2), 2 * 16 * 32 * 9 * 5 * 4, 32 * 5 * 4),
    "depthwise": (depthwise("d", 16, 3, (8, 8)), 2 * 16 * 9 * 64, 64),
}


@pytest.mark.parametrize(("layer", "dense", "more"), BY_HAND.values(), ids=BY_HAND)
@given(density=st.floats(0, 1))
def test_by_hand(layer, dense, more, density):
    assert plain(layer, density) == pytest.approx(density * dense)
    assert rigl_paper(layer, density) == pytest.approx(density * dense + more)


def test_zeros_added_in_an_operation_of_their_own_are_counted_again():
    stem = resnet50.layers(resnet50.input)[0]
    assert (stem.positions, rigl_paper(stem, 1.0)) == (112**2, 115**2 * (2 * stem.size + 64))
    table = mobilenetv1.layers(mobilenetv1.input)
    strided = [layer for layer in table if layer.role == "depthwise" and layer.stride == 2]
    assert rigl_paper(table[0], 1.0) == 113**2 * (2 * table[0].size + 32)
    assert [rigl_paper(layer, 1.0) / (2 * layer.size + 1) for layer in strided] == [57**2, 29**2, 15**2, 8**2]
    assert [layer.positions for layer in strided] == [56**2, 28**2, 14**2, 7**2]


@every
def test_without_a_rule_a_cost_is_unknown(convention):
    assert math.isnan(convention(Layer("attention", (4, 4), "other", 16), 0.5))


def test_a_convolution_of_unknown_input_is_unknown_where_sizes_matter():
    layer = Layer("conv", (4, 4, 3, 3), "conv", 144 * 64)
    assert plain(layer, 0.5) == 144 * 64
    assert math.isnan(rigl_paper(layer, 0.5))


# ---- MobileNet-v1, as the paper's code counted it --------------------------------------------------------------
# google-research/rigl, imagenet_resnet/colabs/MobileNet_Counting.ipynb: outputs kept in the notebook, in MFLOPs. Keras'
# classifier is a 1 × 1 convolution, which shares in ERK by four sides instead of two.

*FEATURES, CLASSIFIER = mobilenetv1.layers(mobilenetv1.input)
KERAS = (*FEATURES, replace(CLASSIFIER, shape=(*CLASSIFIER.shape, 1, 1), kind="conv", input=(1, 1)))
DEPTHWISE, STEM, BOTH = Policy(depthwise="dense"), Policy(stem="dense"), Policy(stem="dense", depthwise="dense")

PRINTED = [
    ("uniform", 0.0, Policy(), 1141.544),
    ("erk", 0.75, DEPTHWISE, 599.144),
    ("uniform", 0.75, BOTH, 330.769),
    ("uniform", 0.85, BOTH, 222.666),
    ("uniform", 0.9, BOTH, 168.614),
    ("uniform", 0.95, BOTH, 114.563),
    ("erk", 0.75, STEM, 588.355),
]
ROUNDED = [
    ("erk", 0.85, DEPTHWISE, 439.152),
    ("erk", 0.9, DEPTHWISE, 334.134),
    ("erk", 0.95, DEPTHWISE, 205.281),
    ("erk", 0.85, STEM, 422.419),
    ("erk", 0.9, STEM, 312.956),
    ("erk", 0.95, STEM, 180.359),
]
"""The notebook's later cells ran a version whose budgets round down a layer's active entries: up to 1e-4 less."""
WIDTHS = [(0.47, 266.539), (0.353, 154.770), (0.285, 103.825), (0.204, 56.617)]


def millions(layers, plan):
    return sum(rigl_paper(layer, 1 - plan[layer.name]) for layer in layers) / 1e6


@pytest.mark.parametrize(("distribution", "sparsity", "special", "printed"), PRINTED)
def test_totals_are_the_printed_ones(distribution, sparsity, special, printed):
    plan = policy.plan(KERAS, distribution, sparsity, special)
    assert round(millions(KERAS, plan), 3) == printed


@pytest.mark.parametrize(("distribution", "sparsity", "special", "printed"), ROUNDED)
def test_totals_are_the_printed_ones_but_for_rounded_budgets(distribution, sparsity, special, printed):
    plan = policy.plan(KERAS, distribution, sparsity, special)
    assert 0 < millions(KERAS, plan) / printed - 1 < 1.1e-4


@pytest.mark.parametrize(("width", "printed"), WIDTHS)
def test_totals_of_small_dense_networks_are_the_printed_ones(width, printed):
    narrow = scaled(KERAS, width)
    assert round(millions(narrow, {layer.name: 0.0 for layer in narrow}), 3) == printed


@pytest.mark.parametrize(
    ("distribution", "sparsity", "own", "width", "printed"),
    [
        ("erk", 0.75, {}, 1.98, 2180.140),
        ("uniform", 0.75, {"classifier": 0.8}, 1.98, 1122.572),
        ("uniform", 0.9, {"classifier": 0.8}, 3.0, 1058.478),
    ],
)
def test_totals_of_big_sparse_networks_are_the_printed_ones(distribution, sparsity, own, width, printed):
    apart = policy.apart(KERAS, STEM, own)
    plan = policy.DISTRIBUTIONS[distribution](KERAS, sparsity, apart)
    assert round(millions(scaled(KERAS, width), plan), 3) == printed


# ---- properties -----------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("model", [resnet50, mobilenetv1], ids=lambda model: model.name)
@given(pair=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_denser_layer_costs_no_less(convention, model, pair):
    low, high = sorted(pair)
    for layer in model.layers(model.input):
        assert convention(layer, low) <= convention(layer, high)
