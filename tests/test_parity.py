"""Two backends, one result: identical masks, data and initial weights, and the training of the plain framework."""

import importlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain
from probe import batch, probe, shown
from sparsebench.conformance import oracle
from sparsebench.errors import NonFiniteScoreError
from sparsebench.method import Event, random
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from sparsebench_models.lenet import lenet_300_100
from tasks import (
    RECIPES,
    begin,
    bits,
    conv,
    gated,
    half,
    images,
    script,
    scripted,
    short,
    task,
    trainer_on,
    update,
    walk,
)  # fmt: skip

DENSE = {**RECIPES, "smooth": {"label_smoothing": 0.1, "schedule": "constant"}}
SEED = st.integers(0, 2**63 - 1)
SPARSITY = st.sampled_from([0.0, 0.5, 0.999]) | st.floats(0, 0.999)


@pytest.fixture(scope="module")
def both():
    """The trainers of both backends."""
    return trainer_on("torch"), trainer_on("jax")


def frozen(model, steps=24):
    """A task whose learning rate is 0 in float32: weights stay to the bit, so both backends score the same."""
    return task(model, steps, learning_rate=1e-60)


# ---- where a run starts ---------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(model=st.sampled_from([gated, half, conv]), sparsity=SPARSITY, seed=SEED)
def test_initial_weights_and_masks_are_the_same(both, model, sparsity, seed):
    job = task(model)
    first, second = (begin(trainer, job, set_, sparsity, seed) for trainer in both)
    assert bits(both[0].masks(first)) == bits(both[1].masks(second))
    weights = [trainer.weights(state) for trainer, state in zip(both, (first, second), strict=True)]
    given = initial_weights(model, job.input, seed)
    assert weights[0].keys() == weights[1].keys()
    statistics = {name: array for name, array in weights[0].items() if name not in given}
    assert all((array == name.endswith("var")).all() for name, array in statistics.items()), "mean 0, variance 1"
    assert len(statistics) == (4 if model is conv else 0)
    for name, array in given.items():
        mask = both[0].masks(first).get(name.removesuffix(".weight"), np.ones(array.shape, bool))
        expected = np.where(mask, to_bfloat16(array) if model is half else array, 0)
        assert (weights[0][name] == expected).all()
        assert (weights[1][name] == expected).all()


def to_bfloat16(array):
    """Rounded to the nearest bfloat16, ties to even, as float32."""
    bits = array.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def test_batches_are_the_same(backend):
    trainer, job = trainer_on(backend.name), task(probe, dataset=images((2, 6, 6)))
    state, feed = begin(trainer, job, dense, 0.0, seed=7), job.feed(7)
    for i in (0, 7, 8, 17):
        [images_of_it], (state, _) = shown(partial(trainer.train, state, dense, feed, i, i + 1))
        assert images_of_it.tobytes() == batch(job, feed, i)[0].tobytes()


# ---- masks ----------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(sparsity=st.floats(0.2, 0.95), alpha=st.sampled_from([0.3, 1.0]), delta=st.integers(1, 5), seed=SEED)
def test_set_grows_the_same_over_a_run(both, sparsity, alpha, delta, seed):
    job, method = frozen(gated), short(set_, alpha=alpha, delta_t=delta)
    runs = [
        [bits(trainer.masks(state)) for _, _, state in walk(trainer, job, method, sparsity, seed)] for trainer in both
    ]
    assert runs[0] == runs[1]
    assert len(set(map(str, runs[0]))) > 1


@settings(max_examples=8)
@given(sparsity=SPARSITY, fraction=st.floats(0, 1), seed=SEED)
def test_rigl_chooses_the_same_from_equal_scores(both, sparsity, fraction, seed):
    job = frozen(scripted)
    event = Event(3, fraction, replaces_step=True)
    for trainer in both:
        state = begin(trainer, job, rigl, sparsity, seed)
        before, weights = trainer.masks(state), trainer.weights(state)
        state, _ = update(trainer, job, state, rigl, event, sparsity, seed)
        for layer in job.layers:
            old, drop = before[layer.name], np.abs(weights[f"{layer.name}.weight"])
            counts = oracle.counts(layer.size, sparsity, old.sum(), fraction)
            expected = oracle.update(drop, np.abs(script(layer)), old, *counts)
            assert (trainer.masks(state)[layer.name] == expected).all()


def test_random_growth_and_random_drop_are_the_same_while_training(both):
    job, method = task(conv), short(replace(set_, drop=random), alpha=0.5)
    runs = [[bits(trainer.masks(state)) for _, _, state in walk(trainer, job, method, 0.7)] for trainer in both]
    assert runs[0] == runs[1]
    assert len({str(masks) for masks in runs[0]}) > 5


@pytest.mark.parametrize("method", [set_, rigl], ids=lambda method: method.name)
def test_masks_that_follow_training_stay_close(both, method):
    """Sums are added in another order, so nothing is promised to the bit; here all entries agree."""
    job, method = task(lenet_300_100, 40, images((1, 8, 8))), short(method, delta_t=5)
    ends = [list(walk(trainer, job, method, 0.9))[-1][2] for trainer in both]
    masks = [trainer.masks(state) for trainer, state in zip(both, ends, strict=True)]
    for name, mask in masks[0].items():
        assert (mask != masks[1][name]).mean() <= 0.002


# ---- devices --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["torch", "jax"])
def device(request, monkeypatch):
    """(trainer, use): after `use()` the trainer updates masks as on an accelerator; it returns a list of the calls."""
    trainer, calls = trainer_on(request.param), []
    rewiring = importlib.import_module(f"sparsebench_{request.param}.rewiring")
    host, own = {"torch": (rewiring, "on_host"), "jax": (trainer, "_rewire")}[request.param], rewiring.on_device

    def on_device(*arguments):
        calls.append(arguments)
        return own(*arguments)

    def use():
        monkeypatch.setattr(*host, on_device)
        return calls

    return trainer, use


@pytest.mark.parametrize("method", [set_, rigl], ids=lambda method: method.name)
def test_a_device_chooses_the_same_as_the_host(device, method):
    trainer, use = device
    job, method = task(conv), short(method, alpha=0.7)
    masks = {layer.name: np.arange(layer.size).reshape(layer.shape) % 3 == 0 for layer in job.layers[1:]}

    def run():
        state = trainer.init(job, initial_weights(conv, job.input, 0), masks)
        steps = [trainer.snapshot(state) for _, _, state in walk(trainer, job, method, 2 / 3, state=state)]
        return [bits({key: array + np.int8(0) for key, array in step.items()}) for step in steps]  # −0 becomes 0

    on_host, calls = run(), use()
    assert run() == on_host
    assert len(calls) == len(method.events(job.steps)) > 3


def test_a_device_refuses_scores_that_are_not_finite_and_changes_nothing(device):
    def bad(xp, layer, signals):
        return random(xp, layer, signals) / (layer.name != "fc")

    trainer, use = device
    job, calls = task(conv), use()
    masks = {layer.name: np.arange(layer.size).reshape(layer.shape) % 3 == 0 for layer in job.layers[1:]}
    state = trainer.init(job, initial_weights(conv, job.input, 0), masks)
    before = bits(trainer.snapshot(state))
    with pytest.raises(NonFiniteScoreError, match="'fc'"):
        update(trainer, job, state, replace(set_, grow=bad), Event(3, 0.5), 2 / 3)
    assert bits(trainer.snapshot(state)) == before
    assert len(calls) == 1


# ---- training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [gated, conv, lenet_300_100], ids=lambda model: model.name)
@pytest.mark.parametrize("method", [dense, static], ids=lambda method: method.name)
def test_ten_steps_agree(both, model, method):
    job = task(model, 10, images((1, 8, 8)) if model is lenet_300_100 else None, weight_decay=1e-3, label_smoothing=0.1)
    losses, metrics = [], []
    for trainer in both:
        state = begin(trainer, job, method, 0.8)
        state, tally = trainer.train(state, method, job.feed(0), 0, 10)
        losses.append(tally.losses)
        metrics.append(trainer.evaluate(state, "test"))
    assert abs(losses[0] - losses[1]).max() <= 1e-4
    assert metrics[0].accuracy == metrics[1].accuracy
    variance = 1e-2 if model is conv else 1e-4  # of a batch: torch keeps the unbiased, Flax the biased one
    assert metrics[0].loss == pytest.approx(metrics[1].loss, abs=variance)


@pytest.mark.parametrize(("model", "recipe"), [*((gated, name) for name in DENSE), (conv, "momentum")])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_dense_training_is_the_frameworks_own(name, model, recipe):
    """To the bit in torch. XLA fuses multiply-adds otherwise inside a loop: there the last digit may differ."""
    trainer, job = trainer_on(name), task(model, 20, **DENSE[recipe])
    losses, weights = plain.LOOPS[name](job)
    state, tally = trainer.train(begin(trainer, job, dense, 0.0), dense, job.feed(0), 0, 20)
    ours = trainer.weights(state)
    assert ours.keys() == weights.keys()
    if name == "torch":
        assert tally.losses.tolist() == losses
        assert bits(ours) == bits(weights)
        return
    assert tally.losses == pytest.approx(losses, abs=1e-6)
    for parameter in ours.keys() - {"conv1.bias", "conv2.bias"}:  # normalised away: their gradient is rounding
        assert ours[parameter] == pytest.approx(weights[parameter], abs=2e-6)
