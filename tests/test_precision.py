"""bfloat16 and channels last: what is computed in them really is, what is stored is not, and results stay near."""

from functools import partial

import numpy as np
import pytest

from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from sparsebench_models.wide_resnet import wrn_22_2
from tasks import begin, bits, conv, gated, images, short, task, trainer_on, walk

NETS = [gated, conv]
UNIT = 2.0**-8
"""Rounding to bfloat16 moves a number by this share of it at most."""


def named(model):
    return getattr(model, "name", None)


def lower(model, steps=12, dataset=None, **recipe):
    return task(model, steps, dataset, precision="bfloat16", **recipe)


@pytest.fixture(scope="module")
def trainer(backend):
    """One for all tests, so that its compiled programs are used again."""
    return trainer_on(backend.name)


# ---- what is stored ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", NETS, ids=named)
@pytest.mark.parametrize("method", [set_, rigl, snfs], ids=lambda method: method.name)
def test_all_that_is_stored_is_float32_and_zero_outside_of_exact_masks(trainer, model, method):
    steps = list(walked(trainer, lower(model), short(method, alpha=0.6)))
    assert len({str(bits(masks)) for masks, _, _ in steps}) > 2
    for masks, weights, arrays in steps:
        for name, mask in masks.items():
            assert mask.sum() == mask.size - int(0.7 * mask.size)
            assert np.count_nonzero(weights[f"{name}.weight"][~mask]) == 0
        kinds = {array.dtype for array in arrays.values()}
        assert kinds <= {np.dtype(kind) for kind in (np.float32, np.bool_, np.int32, np.int64, np.float64)}
        assert not [name for name in arrays if name.endswith(":bfloat16")]
    fine = steps[-1][1]["fc1.weight" if model is gated else "conv1.weight"].view(np.uint32) & 0xFFFF
    assert np.count_nonzero(fine), "a step is not rounded to bfloat16"


def walked(trainer, job, method):
    """(masks, weights, snapshot) after every iteration."""
    for _, _, state in walk(trainer, job, method, 0.7):
        yield trainer.masks(state), trainer.weights(state), trainer.snapshot(state)


# ---- near to float32 --------------------------------------------------------------------------------------------


def test_an_evaluation_is_as_near_as_its_roundings(trainer):
    """At most nine on the way from a pixel to a logit: pixel, weights, products and sums of two layers and the gate.

    So a logit moves by at most (1 + u)⁹ − 1 of the same sum over absolute values, and the loss by twice that.
    """
    exact, job = task(gated), lower(gated)
    losses = [trainer.evaluate(begin(trainer, each, dense, 0.0), "test").loss for each in (exact, job)]
    w = {name: np.abs(array.astype(np.float64)) for name, array in initial_weights(gated, job.input, 0).items()}
    pixels = np.abs(job.dataset.table[job.dataset.test.images, 0].reshape(len(job.dataset.test.labels), -1))
    hidden = pixels @ w["fc1.weight"].T + w["fc1.bias"]
    gate = hidden.mean(1, keepdims=True) * w["gate.weight"][0] + w["gate.bias"]
    sums = hidden @ w["fc2.weight"].T + w["fc2.bias"] + gate
    assert 0 < abs(losses[1] - losses[0]) <= 2 * ((1 + UNIT) ** 9 - 1) * sums.max(1).mean()


@pytest.mark.parametrize("model", NETS, ids=named)
def test_two_frameworks_are_as_near_to_each_other_as_to_float32(model):
    """Distances of ten losses, ‖·‖₂: rounding is all that differs, and neither rounds three times as much."""
    losses = {}
    for name in ("torch", "jax"):
        trainer = trainer_on(name)
        for job in (task(model, 10, learning_rate=0.02), lower(model, 10, learning_rate=0.02)):
            state = begin(trainer, job, static, 0.5)
            losses[name, job.recipe.precision] = trainer.train(state, static, job.feed(0), 0, 10)[1].losses
    own = [np.linalg.norm(losses[name, "bfloat16"] - losses[name, "float32"]) for name in ("torch", "jax")]
    assert 0 < max(own) <= 3 * min(own)
    assert np.linalg.norm(losses["torch", "bfloat16"] - losses["jax", "bfloat16"]) <= 3 * max(own)
    assert np.linalg.norm(losses["torch", "float32"] - losses["jax", "float32"]) <= 1e-2 * min(own)


# ---- what computes in it ------------------------------------------------------------------------------------------


@pytest.fixture
def hooked():
    """hook(state, look): what `look` says of each convolution's and linear layer's output, by layer, from now on."""
    from torch import nn

    handles, seen = [], {}

    def hook(state, look):
        for name, module in state.module.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                note = partial(lambda name, module, given, made: seen.setdefault(name, set()).add(look(made)), name)
                handles.append(module.register_forward_hook(note))
        return seen

    yield hook
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [gated, conv, wrn_22_2], ids=named)
def test_layers_of_torch_compute_in_it(hooked, model, precision):
    trainer, job = (
        trainer_on("torch"),
        task(model, 4, images((3, 8, 8)) if model is wrn_22_2 else None, precision=precision),
    )
    state = begin(trainer, job, static, 0.5)
    seen = hooked(state, lambda made: str(made.dtype))
    state, _ = trainer.train(state, static, job.feed(0), 0, 2)
    trainer.evaluate(state, "test")
    assert seen == {layer.name: {f"torch.{precision}"} for layer in job.layers}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [gated, conv, wrn_22_2], ids=named)
def test_layers_of_jax_compute_in_it(model, precision):
    """Every convolution and product of the forward and backward pass, whatever a normalisation makes of its input."""
    import jax

    trainer, job = (
        trainer_on("jax"),
        task(model, 4, images((3, 8, 8)) if model is wrn_22_2 else None, precision=precision),
    )
    program, data = trainer._program(job), trainer._data
    masks = {f"{layer.name}.weight": None for layer in job.layers}
    taken = program.rest, masks, data.origin(job, "train"), data.batch(job, job.feed(0), 0)
    training = jax.make_jaxpr(program.gradient)(program.parameters, *taken)
    batch, real = next(data.evaluation(job, "test"))
    testing = jax.make_jaxpr(program.evaluate)(program.parameters, program.rest, taken[2], batch, real)
    made = {"training": list(products(training.jaxpr)), "testing": list(products(testing.jaxpr))}
    assert {kind: set(found) for kind, found in made.items()} == {kind: {precision} for kind in made}
    assert len(made["testing"]) == len(job.layers)
    assert len(made["training"]) >= 3 * len(job.layers) - 1, "no gradient of the images"
    (loss, _, gradients) = jax.eval_shape(program.gradient, program.parameters, *taken)
    assert {loss.dtype, *(each.dtype for each in gradients.values())} == {np.dtype("float32")}


def products(jaxpr):
    """Types of what convolutions and matrix products make, those of nested programs too."""
    from jax.extend.core import ClosedJaxpr, Jaxpr

    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            yield str(equation.outvars[0].aval.dtype)
        for inner in equation.params.values():
            if isinstance(inner, Jaxpr | ClosedJaxpr):
                yield from products(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner)


# ---- channels last ------------------------------------------------------------------------------------------------

LAST = {"memory_format": "channels-last"}


@pytest.mark.parametrize("recipe", [{}, {"precision": "bfloat16"}], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("model", [conv, wrn_22_2], ids=named)
def test_activations_are_channels_last_and_weights_are_not(hooked, model, recipe):
    import torch

    trainer, data = trainer_on("torch"), images((3, 8, 8)) if model is wrn_22_2 else None
    for settings in ({}, LAST):
        job = task(model, 4, data, **recipe, **settings)
        state = begin(trainer, job, static, 0.5)
        seen = hooked(state, lambda made: made.ndim == 4 and made.is_contiguous(memory_format=torch.channels_last))
        seen.clear()
        state, _ = trainer.train(state, static, job.feed(0), 0, 1)
        wide = {layer.name for layer in job.layers if layer.kind == "conv"}
        assert {name for name, last in seen.items() if last == {True}} == (wide if settings else set())
        assert all(weight.is_contiguous() for weight in state.module.parameters())


def test_losses_are_those_of_channels_first():
    """Sums in another order are all that differs: eight units in the last place."""
    trainer, runs = trainer_on("torch"), []
    for settings in ({}, LAST):
        job = task(conv, 12, augmentation="crop-flip", **settings)
        done = [(loss, trainer.masks(state)) for _, loss, state in walk(trainer, job, short(rigl, alpha=0.6), 0.7)]
        runs.append(done)
    losses = [np.array([loss for loss, _ in done]) for done in runs]
    assert np.abs(losses[0] - losses[1]).max() <= 8 * 2**-23
    assert [bits(masks) for _, masks in runs[0]] == [bits(masks) for _, masks in runs[1]]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("torch", LAST),
        ("torch", {"precision": "bfloat16"}),
        ("torch", {"precision": "bfloat16", **LAST}),
        ("jax", {"precision": "bfloat16"}),
    ],
    ids=str,
)
def test_snapshots_continue_to_the_bit(name, settings):
    trainer, job, method = trainer_on(name), task(conv, 12, **settings), short(rigl, alpha=0.6)
    straight = [(loss, state) for _, loss, state in walk(trainer, job, method, 0.7)]
    whole = bits(trainer.snapshot(straight[-1][1]))
    steps = walk(trainer, job, method, 0.7)
    for _ in range(5):
        _, _, state = next(steps)
    state = trainer.restore(job, trainer.snapshot(state))
    rest = [(loss, state) for _, loss, state in walk(trainer, job, method, 0.7, state=state, start=5)]
    assert [loss for loss, _ in rest] == [loss for loss, _ in straight[5:]]
    assert bits(trainer.snapshot(rest[-1][1])) == whole
