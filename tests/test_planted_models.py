"""Models with one mistake each: the suite says which row, kernel or number is wrong."""

from dataclasses import replace

import pytest

import planted
import planted_nets as nets
from sparsebench import plugins
from sparsebench.conformance.engine import Status
from sparsebench_models.small_conv import small_conv

SPECIFICATION = {
    "a layer is forgotten": (nets.without_second, "kernel ['conv2'] is in no row of the table"),
    "a stride is forgotten": (nets.as_if_of_stride_1, "row 'conv2' is used at"),
    "a bias is a layer": (nets.with_bias, "row 'bn1': a linear kernel of 1 dimensions is none"),
}


@pytest.mark.parametrize("mistake", SPECIFICATION)
def test_a_table_that_is_wrong_is_found(mistake):
    layers, told = SPECIFICATION[mistake]
    found = planted.outcome(replace(small_conv, layers=layers), "table", "spec")
    assert found.status is Status.BROKEN
    assert told in found.reason


def test_initial_weights_that_ignore_the_seed_are_found():
    found = planted.outcome(replace(small_conv, initial=nets.drawn_once), "initial", "spec")
    assert "draw the same ['conv1.weight']" in found.reason


def test_a_count_that_the_framework_does_not_confirm_is_found():
    pytest.importorskip("torch")
    found = planted.outcome(replace(small_conv, layers=nets.half_counted), "flops", "torch")
    assert found.status is Status.BROKEN
    assert "torch.utils.flop_counter counts" in found.reason


@pytest.mark.parametrize(
    ("build", "check", "told"),
    [
        (nets.same_padding, "same-network", "mean losses of the training and test split, against torch"),
        (nets.turned, "same-network", "against torch"),
        (nets.fast_statistics, "same-training", "bn1.running_mean: a step of length"),
    ],
    ids=["same padding", "turned images", "running statistics"],
)
def test_two_networks_that_differ_are_found(build, check, told):
    for framework in ("torch", "jax"):
        pytest.importorskip(framework)
    found = planted.outcome(nets.flax(build), check, "jax", 3)
    assert found.status is Status.BROKEN
    assert told in found.reason


@pytest.mark.parametrize("name", ["lenet-300-100", "small-conv", "wrn-22-2", "mobilenetv1", "resnet50"])
@pytest.mark.parametrize("check", ["table", "initial"])
def test_first_party_specifications_are_sound(name, check):
    assert planted.outcome(plugins.load("models", name), check, "spec", 5).status is Status.HELD
