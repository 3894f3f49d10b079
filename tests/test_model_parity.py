"""One specification, two networks: the same function, gradients and training in torch and in Flax."""

import pkgutil
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_runs import apart, arbitrary, batch, flax_steps, kernels, relative, torch_steps
from sparsebench.methods.static import static
from sparsebench.models import Input, initial_weights
from sparsebench_models import resnet, wide_resnet
from sparsebench_models.mobilenet import mobilenetv1, mobilenetv1_big
from sparsebench_models.resnet import resnet50, resnet50_big
from sparsebench_models.wide_resnet import wrn_22_2, wrn_22_2_dropout
from tasks import begin, bits, images, task, trainer_on

pytest.importorskip("torch")
pytest.importorskip("timm")
jax = pytest.importorskip("jax")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SMALL = Input((3, 32, 32), 10)


def named(model):
    return getattr(model, "name", None)


def builders(model):
    """(torch's, Flax's)."""
    return [pkgutil.resolve_name(model.builders[name]) for name in ("torch", "jax")]


def both(model, input, size, steps=1, seed=0):
    """(logits in evaluation mode, training steps) of torch and of Flax, from the specification's own state."""
    weights, (pixels, labels) = initial_weights(model, input, seed), batch(input, size, seed)
    build_torch, build_flax = builders(model)
    return (
        torch_steps(build_torch, input, weights, pixels, labels, steps),
        flax_steps(build_flax, input, weights, pixels, labels, steps),
    )


# ---- float32, from the specification's own state ---------------------------------------------------------------


def test_ten_steps_of_a_resnet_agree():
    (ours, first), (theirs, second) = both(resnet50, Input((3, 16, 16), 10), 4, steps=10)
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(first[0].logits - second[0].logits).max() <= 1e-4
    assert relative(kernels(first[0]), kernels(second[0])) <= 1e-3
    assert apart(first[4].statistics, second[4].statistics) <= 1e-4
    losses = [[step.loss for step in steps] for steps in (first, second)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert losses[0][-1] < losses[0][0] - 0.1


def test_a_wide_resnet_agrees_in_float64():
    """In float32 rounding alone moves its gradients by up to 3e-3, by how many threads a sum is split over."""
    (ours, [first]), (theirs, [second]) = both(wrn_22_2, SMALL, 16)
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(first.logits - second.logits).max() <= 1e-4
    weights, (pixels, labels) = initial_weights(wrn_22_2, SMALL, 0), batch(SMALL, 16, dtype="float64")
    build_torch, build_flax = builders(wrn_22_2)
    _, exact = torch_steps(build_torch, SMALL, weights, pixels, labels, 5)
    with jax.enable_x64(True):
        _, wide = flax_steps(build_flax, SMALL, weights, pixels, labels, 5)
    assert relative(exact[0].gradients, wide[0].gradients) <= 1e-8
    assert [step.loss for step in exact] == pytest.approx([step.loss for step in wide], abs=1e-6)
    assert apart(exact[4].statistics, wide[4].statistics) <= 1e-6


def test_a_mobilenet_is_as_near_to_float64_as_torchs():
    """Without residual connections gradients grow with depth: a rounding that moves one entry past a ReLU's kink shows.

    In float64 five steps agree; in float32 torch differs from itself in float64 by per cents after two.
    """
    input = Input((3, 32, 32), 10, width=0.25)
    (ours, first), (theirs, second) = both(mobilenetv1, input, 16)
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(first[0].logits - second[0].logits).max() <= 1e-4
    weights, (pixels, labels) = initial_weights(mobilenetv1, input, 0), batch(input, 16, dtype="float64")
    build_torch, build_flax = builders(mobilenetv1)
    _, exact = torch_steps(build_torch, input, weights, pixels, labels, 5)
    with jax.enable_x64(True):
        _, wide = flax_steps(build_flax, input, weights, pixels, labels, 5)
    assert [step.loss for step in exact] == pytest.approx([step.loss for step in wide], abs=1e-6)
    assert relative(exact[0].gradients, wide[0].gradients) <= 1e-8
    assert apart(exact[4].statistics, wide[4].statistics) <= 1e-6
    errors = [relative(kernels(exact[0]), kernels(steps[0])) for steps in (first, second)]
    assert errors[1] <= 3 * errors[0]


@pytest.mark.slow
def test_resnet50_agrees_at_its_published_size():
    (ours, [first]), (theirs, [second]) = both(resnet50, Input((3, 224, 224), 1000), 2)
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(first.logits - second.logits).max() <= 1e-4
    assert relative(first.gradients, second.gradients) <= 1e-3
    assert apart(first.statistics, second.statistics) <= 1e-4


# ---- float64, from any state -----------------------------------------------------------------------------------


def short_resnet(build):
    """One block a stage."""
    return partial(build, blocks=(1, 1, 1, 1))


FAMILIES = {
    "resnet": (partial(resnet.initial, blocks=(1, 1, 1, 1)), *map(short_resnet, builders(resnet50))),
    "mobilenet": (mobilenetv1.initial, *builders(mobilenetv1)),
    "wide-resnet": (wrn_22_2.initial, *builders(wrn_22_2)),
}


def agree_from_any_state(family, input, seed, size=4):
    initial, build_torch, build_flax = FAMILIES[family]
    weights = arbitrary(initial(input, np.random.default_rng(seed)), seed)
    pixels, labels = batch(input, size, seed, "float64")
    ours, [first] = torch_steps(build_torch, input, weights, pixels, labels)
    with jax.enable_x64(True):
        theirs, [second] = flax_steps(build_flax, input, weights, pixels, labels)
    scale = max(1.0, float(np.abs(ours).max()))
    assert np.abs(ours - theirs).max() <= 1e-8 * scale
    assert np.abs(first.logits - second.logits).max() <= 1e-8
    assert relative(kernels(first), kernels(second)) <= 1e-8
    assert apart(first.statistics, second.statistics) <= 1e-8


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=2)
@given(
    width=st.floats(0.25, 2), side=st.sampled_from([8, 28]), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99)
)
def test_networks_of_any_width_agree(family, width, side, channels, seed):
    side = 8 if width > 1 else side
    agree_from_any_state(family, Input((channels, side, side), 10, width), seed)


@pytest.mark.parametrize("side", [64, 65])
def test_larger_stems_agree(side):
    agree_from_any_state("resnet", Input((3, side, side), 10, 0.1), side, size=2)


# ---- one state for both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [mobilenetv1_big, resnet50_big, wrn_22_2], ids=named)
def test_both_have_the_parameters_of_the_specification(model):
    """The wide networks too, whose channels follow a rule of their own; nothing is computed."""
    import torch
    from flax import nnx

    from sparsebench_jax import layout

    input = Input((3, 32, 32), 10)
    given = {name: array.shape for name, array in initial_weights(model, input, 0).items()}
    build_torch, build_flax = builders(model)
    with torch.device("meta"):
        ours = {name: tuple(p.shape) for name, p in build_torch(input).named_parameters()}
    parameters = nnx.to_flat_state(nnx.state(nnx.eval_shape(partial(build_flax, input)), nnx.Param))
    theirs = {layout.name(path): layout.canonical(np.empty(leaf.shape)).shape for path, leaf in parameters}
    assert ours == theirs == given


def test_initial_kernels_are_he_normal_and_residual_blocks_start_closed():
    weights = initial_weights(resnet50, SMALL, 0)
    kernel = weights["layer3.1.conv2.weight"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)
    assert abs(kernel.mean()) < 1e-3
    closed = {name for name, array in weights.items() if array.ndim == 1 and "bn" in name and not array.any()}
    assert {name for name in closed if name.endswith("weight")} == {
        f"layer{stage + 1}.{block}.bn3.weight" for stage, count in enumerate(resnet.BLOCKS) for block in range(count)
    }
    depthwise = initial_weights(mobilenetv1, SMALL, 0)["blocks.4.1.conv_dw.weight"]
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 9), rel=0.03)
    assert wide_resnet.norms(wrn_22_2.layers(SMALL)).keys() == {
        name.removesuffix(".bias")
        for name, array in initial_weights(wrn_22_2, SMALL, 0).items()
        if array.ndim == 1 and "bn" in name and name.endswith("bias")
    }


# ---- in the trainers -------------------------------------------------------------------------------------------


def test_trainers_agree_on_a_convolutional_network():
    job = task(wrn_22_2, 6, images((3, 8, 8)), learning_rate=0.01, weight_decay=1e-3)
    losses, metrics = [], []
    for trainer in (trainer_on("torch"), trainer_on("jax")):
        state, tally = trainer.train(begin(trainer, job, static, 0.5), static, job.feed(0), 0, 6)
        losses.append(tally.losses)
        metrics.append(trainer.evaluate(state, "test").loss)
    assert np.abs(losses[0] - losses[1]).max() <= 1e-3
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-2)


@pytest.mark.parametrize("model", [mobilenetv1, resnet50, wrn_22_2, wrn_22_2_dropout], ids=named)
def test_what_a_model_says_not_to_draw_it_does_not(model):
    """Such models leave torch's generator as it is, and need no key for each step."""
    import torch

    module = builders(model)[0](SMALL).train()
    torch.manual_seed(7)
    before = torch.default_generator.get_state()
    module(torch.zeros(2, *SMALL.shape)).sum().backward()
    assert torch.equal(torch.default_generator.get_state(), before)
    assert model.draws == (model is wrn_22_2_dropout), "on a GPU it does"


def test_dropout_continues_from_a_snapshot(backend):
    """What is dropped follows from a counter in the state; without dropout the losses are others."""
    trainer, job = trainer_on(backend.name), task(wrn_22_2_dropout, 4, images((3, 8, 8)))
    state, whole = trainer.train(begin(trainer, job, static, 0.5), static, job.feed(0), 0, 4)
    again, _ = trainer.train(begin(trainer, job, static, 0.5), static, job.feed(0), 0, 2)
    again, rest = trainer.train(trainer.restore(job, trainer.snapshot(again)), static, job.feed(0), 2, 4)
    assert rest.losses.tolist() == whole.losses[2:].tolist()
    assert bits(trainer.weights(again)) == bits(trainer.weights(state))
    assert trainer.evaluate(state, "test") == trainer.evaluate(state, "test")
