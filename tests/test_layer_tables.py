"""Layer tables against the networks themselves: names, shapes and multiply-adds, entry by entry."""

import math
import pkgutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from sparsebench.errors import UserError
from sparsebench.layers import convolved, depthwise
from sparsebench.models import Input, Model, initial_weights
from sparsebench.widths import scaled
from sparsebench_models.lenet import lenet_300_100
from sparsebench_models.mobilenet import BIG_WIDTH, mobilenetv1, mobilenetv1_big
from sparsebench_models.resnet import resnet50, resnet50_big
from sparsebench_models.small_conv import small_conv
from sparsebench_models.wide_resnet import wide_resnet, wrn_22_2, wrn_22_2_dropout
from sparsebench_models.widths import times, times_in_eights

ALL = (
    lenet_300_100, mobilenetv1, mobilenetv1_big, resnet50, resnet50_big, small_conv, wrn_22_2, wrn_22_2_dropout,
)  # fmt: skip
SMALL = Input((3, 32, 32), 10)
timms = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
every = pytest.mark.parametrize("model", ALL, ids=lambda model: model.name)


def entries(layers):
    return [(layer.name, layer.shape, layer.macs) for layer in layers]


# ---- the networks in torch ------------------------------------------------------------------------------------


def counted(build, input):
    """(name, shape, multiply-adds) of every weight that torch's own counter sees, in forward order."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        module = build().eval()
        images = torch.empty(1, *input.shape)
    seen = []
    for name, part in module.named_modules():
        if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
            part.register_forward_hook(lambda part, *_, name=name: seen.append((name, tuple(part.weight.shape))))
    with FlopCounterMode(display=False) as counter:
        module(images)
    flops = {name.partition(".")[2]: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    return [(name, shape, flops[name] // 2) for name, shape in seen], counter.get_total_flops()


def timm_resnet50():
    return pytest.importorskip("timm").create_model("resnet50")


def timm_mobilenet(round_channels=None):
    timm = pytest.importorskip("timm")
    if round_channels is None:
        return timm.create_model("mobilenetv1_100")
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet
    from torch import nn

    stages = ("r1_k3_s1_c64", "r2_k3_s2_c128", "r2_k3_s2_c256", "r6_k3_s2_c512", "r2_k3_s2_c1024")
    blocks = [[f"dsa_{stage}"] for stage in stages]
    return EfficientNet(
        decode_arch_def(blocks), stem_size=32, num_features=0, round_chs_fn=round_channels, act_layer=nn.ReLU6
    )


def timm_wide_mobilenet():
    from timm.models._efficientnet_builder import round_channels

    return timm_mobilenet(partial(round_channels, multiplier=BIG_WIDTH))


@timms
@pytest.mark.parametrize(
    ("model", "build", "side"),
    [(resnet50, timm_resnet50, 224), (resnet50, timm_resnet50, 97), (mobilenetv1, timm_mobilenet, 224),
     (mobilenetv1, timm_mobilenet, 75), (mobilenetv1_big, timm_wide_mobilenet, 224)],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_tables_are_those_of_timms_networks(model, build, side):
    input = Input((3, side, side), 1000)
    rows, total = counted(build, input)
    assert entries(model.layers(input)) == rows
    assert sum(2 * layer.macs for layer in model.layers(input)) == total


# ---- our networks, in either framework -------------------------------------------------------------------------


def counted_in_flax(build, input):
    """(name, shape, multiply-adds) of every layer that a Flax module calls, in forward order; nothing is computed."""
    jax = pytest.importorskip("jax")
    from flax import nnx

    from sparsebench_jax import layout

    seen, calls = [], {kind: kind.__call__ for kind in (nnx.Conv, nnx.Linear)}

    def run(images):
        module = build(input)
        module.eval()
        names = {id(part): ".".join(map(str, path)) for path, part in nnx.iter_modules(module)}

        def called(self, x):
            y = calls[type(self)](self, x)
            shape = layout.canonical(self.kernel[...]).shape
            seen.append((names[id(self)], shape, math.prod(y.shape[1:-1]) * math.prod(shape)))
            return y

        with pytest.MonkeyPatch.context() as patch:
            for kind in calls:
                patch.setattr(kind, "__call__", called)
            return module(images)

    jax.eval_shape(run, jax.ShapeDtypeStruct((1, *input.shape), "float32"))
    return seen


def rows_of(model, input):
    """The rows that each framework's module gives."""
    in_torch, in_flax = (pkgutil.resolve_name(model.builders[name]) for name in ("torch", "jax"))
    rows, total = counted(lambda: in_torch(input), input)
    assert total == sum(2 * macs for _, _, macs in rows)
    return rows, counted_in_flax(in_flax, input)


@timms
@every
@pytest.mark.parametrize("side", [None, 65, 33, 8])
def test_tables_are_those_of_our_networks(model, side):
    channels, *image = model.input.shape
    input = Input((channels, *([side, side] if side else image)), model.input.classes)
    rows, in_flax = rows_of(model, input)
    assert rows == in_flax == entries(model.layers(input))


@timms
@every
@settings(max_examples=3)
@given(width=st.floats(0.05, 2), side=st.integers(8, 70))
def test_tables_of_any_width_are_those_of_our_networks(model, width, side):
    input = Input((model.input.shape[0], side, side), 10, width)
    rows, in_flax = rows_of(model, input)
    assert rows == in_flax == entries(model.layers(input))


@every
@given(width=st.floats(0.001, 4), side=st.integers(8, 70), classes=st.integers(1, 1000))
def test_an_inputs_width_scales_channels_as_costs_do(model, width, side, classes):
    """⌊c · width⌋ of what the model has at width 1: what `sparsebench flops --width` counts."""
    input = Input((model.input.shape[0], side, side), classes)
    assert model.layers(replace(input, width=width)) == scaled(model.layers(input), width)
    assert model.layers(replace(input, width=1.0)) == model.layers(input)


def test_small_images_meet_a_small_stem():
    def stem(model, side):
        first, second, *_ = model.layers(Input((3, side, side), 10))
        return first.shape[2], first.stride, second.input

    assert [stem(resnet50, side) for side in (32, 33, 64, 65)] == [
        (3, 1, (32, 32)), (3, 1, (17, 17)), (3, 1, (32, 32)), (7, 2, (17, 17)),
    ]  # fmt: skip
    assert [stem(mobilenetv1, side) for side in (64, 65)] == [(3, 1, (64, 64)), (3, 2, (33, 33))]


# ---- published tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "name"), [(resnet50, "resnet50"), (wrn_22_2, "wrn22_2_cifar10")])
def test_tables_are_the_published_ones(model, name):
    def canonical(hwio):
        return tuple(hwio[::-1]) if len(hwio) == 2 else (hwio[3], hwio[2], hwio[0], hwio[1])

    rows = reference.read("erk.json")[name]["layers"]
    assert entries(model.layers(model.input)) == [
        (row["name"], canonical(row["shape_hwio"]), row["macs"]) for row in rows
    ]


# ---- widths ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@given(channels=st.integers(1, 64) | st.integers(1, 2048), width=st.floats(0.1, 4))
@example(channels=10, width=1.1)
def test_channels_in_eights_are_timms(channels, width):
    builder = pytest.importorskip("timm.models._efficientnet_builder")
    assert times_in_eights(width)(channels) == builder.round_channels(channels, width)


@given(channels=st.integers(1, 2048), width=st.floats(0.001, 4))
def test_channels_are_rounded_down_and_never_none(channels, width):
    assert times(width)(channels) == max(1, math.floor(channels * width))


def test_big_networks_have_the_channels_of_their_width():
    stem, *_, classifier = resnet50_big.layers(resnet50_big.input)
    assert (stem.shape[0], classifier.shape[1]) == (134, 4 * 1075)  # ⌊2.1 · 64⌋, 4 · ⌊2.1 · 512⌋
    stem, *_, classifier = mobilenetv1_big.layers(mobilenetv1_big.input)
    assert (stem.shape[0], classifier.shape[1]) == (64, 2024)  # 63.36 and 2027.52, in eights


# ---- what holds for all of them -------------------------------------------------------------------------------


@every
def test_a_table_opens_with_its_stem_and_ends_with_its_classifier(model):
    layers = model.layers(model.input)
    assert [layer.name for layer in layers if layer.role == "stem"] == [layers[0].name]
    assert [layer.name for layer in layers if layer.role == "classifier"] == [layers[-1].name]
    assert layers[-1].outputs == model.input.classes
    assert len({layer.name for layer in layers}) == len(layers)


@every
def test_multiply_adds_follow_from_input_size_kernel_and_stride(model):
    for layer in model.layers(model.input):
        if layer.kind == "conv":
            height, width = convolved(layer.input, layer.shape[2], layer.stride)
            assert (layer.positions, layer.macs) == (height * width, height * width * layer.size)
            assert layer.outputs == height * width * layer.shape[0]
        else:
            assert (layer.positions, layer.outputs) == (1, layer.shape[0])


def test_depthwise_kernels_see_one_channel():
    layer = depthwise("dw", 32, 3, (9, 7), stride=2)
    assert (layer.shape, layer.role, layer.macs) == ((32, 1, 3, 3), "depthwise", 32 * 9 * 5 * 4)


def test_wide_resnets_have_any_depth_and_width():
    layers = wide_resnet(28, 10).layers(Input((3, 32, 32), 100))
    assert (len(layers), layers[-1].shape) == (1 + 3 * (2 * 4 + 1) + 1, (100, 640))
    assert sum(layer.size for layer in layers) == 36_536_884 - 17_952 - 100  # but for BatchNorm and biases


@pytest.mark.parametrize("depth", [4, 21, 23])
def test_no_wide_resnet_has_another_depth(depth):
    with pytest.raises(ValueError, match=f"6n \\+ 4 layers, n at least 1; given {depth}"):
        wide_resnet(depth, 2).layers(SMALL)


def test_a_table_alone_cannot_be_trained():
    with pytest.raises(UserError, match="'table' has a layer table and no initial weights"):
        initial_weights(Model("table", "costs only", wrn_22_2.layers), SMALL, 0)


@every
def test_initial_weights_are_keyed_by_the_seed(model):
    input = Input((3, 8, 8), 10, 0.25)
    first, again, other = (initial_weights(model, input, seed) for seed in (0, 0, 1))
    assert all(array.dtype == np.float32 and (array == again[name]).all() for name, array in first.items())
    weights = [f"{layer.name}.weight" for layer in model.layers(input)]
    assert [first[name].shape for name in weights] == [layer.shape for layer in model.layers(input)]
    assert not any((first[name] == other[name]).any() for name in weights)


def test_every_declared_model_is_of_its_name(declared_models):
    from sparsebench import plugins

    assert {model.name for model in ALL} == set(declared_models)
    assert all(plugins.load("models", name).name == name for name in declared_models)


pytest_plugins = ("declared",)
