"""The laws of masks on every installed backend: exact counts, finite scores, full-batch gradients, evaluation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradients import assert_grown_by_gradient
from sparsebench.conformance import oracle
from sparsebench.errors import NonFiniteScoreError
from sparsebench.masks import Counts
from sparsebench.method import Event, gradient_magnitude, magnitude
from sparsebench.methods.dense import dense
from sparsebench.methods.pruning import pruning
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from tasks import begin, bits, conv, gated, half, images, short, task, trainer_on, update, walk

pytest_plugins = ("compilations",)


@pytest.fixture(scope="module")
def trainer(backend):
    """One for all tests, so that its compiled programs are used again."""
    return trainer_on(backend.name)


def active(trainer, state):
    return {name: int(mask.sum()) for name, mask in trainer.masks(state).items()}


# ---- counts ---------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    method=st.sampled_from([static, set_, rigl, pruning, snfs]),
    sparsity=st.sampled_from([0.0, 0.999]) | st.floats(0, 0.999),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**63 - 1),
)
def test_counts_are_exact_after_every_step(trainer, method, sparsity, alpha, seed):
    job, share = task(gated, 12), 0.0 if method.initial_sparsity == 0 else 1.0
    for event, _, state in walk(trainer, job, short(method, alpha=alpha), sparsity, seed):
        share = event.sparsity_share if event else share
        assert active(trainer, state) == {
            layer.name: oracle.active(layer.size, share * sparsity) for layer in job.layers
        }
    assert share == 1


@pytest.mark.parametrize("method", [set_, rigl, pruning, snfs], ids=lambda method: method.name)
def test_counts_are_exact_in_convolutions(trainer, method):
    job = task(conv, 12)
    for event, _, state in walk(trainer, job, short(method), 0.9):
        if event:
            counts = {layer.name: oracle.active(layer.size, event.sparsity_share * 0.9) for layer in job.layers}
            assert active(trainer, state) == counts


def test_a_report_tells_what_changed(trainer):
    job, method = task(gated, 12), short(rigl, alpha=0.8)
    *_, (_, _, state) = walk(trainer, job, replace(method, end=0.3), 0.5)
    before = trainer.masks(state)
    state, report = update(trainer, job, state, method, Event(9, 0.8, replaces_step=True), 0.5)
    for name, after in trainer.masks(state).items():
        change = report.layers[name]
        assert change.active == after.sum()
        assert change.grown == (after & ~before[name]).sum()
        assert change.dropped == (before[name] & ~after).sum()
    assert report.layers["fc1"].grown > 0


def test_what_is_not_a_kernel_is_never_masked(trainer):
    job = task(conv, 12)
    *_, (_, _, state) = walk(trainer, job, short(set_), 0.999)
    assert list(trainer.masks(state)) == [layer.name for layer in job.layers]
    others = {n: w for n, w in trainer.weights(state).items() if n.removesuffix(".weight") not in trainer.masks(state)}
    norms = [f"bn{n}.{part}" for n in (1, 2) for part in ("bias", "running_mean", "running_var", "weight")]
    assert sorted(others) == [*norms, *(f"{n}.bias" for n in trainer.masks(state))]
    assert all(np.count_nonzero(w) == w.size for w in others.values())


def test_dense_training_has_no_masks(trainer):
    *_, (_, _, state) = walk(trainer, task(gated, 12), dense, 0.9)
    assert trainer.masks(state) == {}
    assert all(np.count_nonzero(w) == w.size for w in trainer.weights(state).values())


@pytest.mark.parametrize("method", [set_, rigl], ids=lambda method: method.name)
def test_layers_of_none_or_one_connection(trainer, method):
    job = task(gated, 12)
    masks = {layer.name: np.zeros(layer.shape, bool) for layer in job.layers}
    masks["fc1"][3, 5] = True
    state = trainer.init(job, initial_weights(gated, job.input, 0), masks)
    state, _ = trainer.train(state, method, job.feed(0), 0, 3)
    counts = {"fc1": Counts(0, 1), "gate": Counts(0, 0), "fc2": Counts(0, 2)}
    state, report = trainer.update(state, method, Event(3), counts, job.feed(0))
    assert active(trainer, state) == {"fc1": 1, "gate": 0, "fc2": 2}
    assert report.layers["fc2"].grown == 2
    state, _ = trainer.train(state, method, job.feed(0), 4, 8)
    for name, mask in trainer.masks(state).items():
        assert not trainer.weights(state)[f"{name}.weight"][~mask].any()


@pytest.mark.parametrize("model", [gated, half, conv], ids=lambda model: model.name)
def test_set_is_the_oracles(trainer, model):
    """Smallest |w| as trained, bfloat16 included, then noise keyed by seed, iteration, layer and purpose."""
    job, seed, fraction = task(model, 12), 3, 0.6
    state = begin(trainer, job, set_, 0.7, seed)
    state, _ = trainer.train(state, set_, job.feed(seed), 0, 6)
    weights, before = trainer.weights(state), trainer.masks(state)
    state, _ = update(trainer, job, state, set_, Event(5, fraction), 0.7, seed)
    for name, after in trainer.masks(state).items():
        grow = oracle.noise_array(seed, 5, name, "grow", after.shape)
        counts = oracle.counts(after.size, 0.7, before[name].sum(), fraction)
        assert (after == oracle.update(np.abs(weights[f"{name}.weight"]), grow, before[name], *counts)).all()


def test_the_memory_order_of_what_is_given_does_not_matter(trainer):
    job = task(conv, 12)
    weights = initial_weights(conv, job.input, 0)
    masks = {layer.name: weights[f"{layer.name}.weight"] > 0 for layer in job.layers}
    ends = []
    for order in (np.ascontiguousarray, np.asfortranarray):
        given = [{name: order(array) for name, array in arrays.items()} for arrays in (weights, masks)]
        *_, (_, _, state) = walk(trainer, job, short(rigl), 0.5, state=trainer.init(job, *given))
        ends.append(bits(trainer.snapshot(state)))
    assert ends[0] == ends[1]


# ---- scores ---------------------------------------------------------------------------------------------------


def poisoned(score, layer, value):
    """The score, but `value` at one entry of one layer."""
    return lambda xp, which, signals: (
        xp.where(signals.weight == signals.weight, value, 0.0) if which.name == layer else score(xp, which, signals)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("role", ["drop", "grow"])
def test_a_score_that_is_not_finite_is_refused_and_changes_nothing(trainer, role, value):
    own = {"drop": magnitude, "grow": gradient_magnitude}[role]
    bad = replace(rigl, **{role: poisoned(own, "fc2", np.float32(value))})
    *_, (_, _, state) = walk(trainer, task(gated, 12), static, 0.5)
    before = bits(trainer.snapshot(state))
    with pytest.raises(NonFiniteScoreError, match="'fc2'"):
        update(trainer, task(gated, 12), state, bad, Event(5, 0.3, replaces_step=True), 0.5)
    assert bits(trainer.snapshot(state)) == before


@pytest.mark.parametrize(("method", "where"), [(set_, "gate.weight"), (rigl, "fc2.bias")], ids=["weight", "gradient"])
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_a_diverged_network_is_refused(trainer, method, where, value):
    job = task(gated, 12)
    weights = {name: array.copy() for name, array in initial_weights(gated, job.input, 0).items()}
    weights[where][0] = value
    masks = {layer.name: np.ones(layer.shape, bool) for layer in job.layers}
    state = trainer.init(job, weights, masks)
    first = "gate" if method is set_ else "fc1"
    with pytest.raises(NonFiniteScoreError, match=f"'{first}'"):
        trainer.update(
            state,
            method,
            Event(3),
            {n: Counts(m.size - 1, 1) for n, m in masks.items()} | {"gate": Counts(0, 1)},
            job.feed(0),
        )


# ---- the gradient for growth ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [gated, conv], ids=lambda model: model.name)
def test_growth_follows_the_dense_gradient_of_the_full_batch(trainer, model):
    assert_grown_by_gradient(trainer, task(model, 12))


def test_models_of_one_name_are_kept_apart(trainer):
    first, second = task(gated, 12), task(replace(half, name="gated"), 12)
    exact, rounded = (trainer.weights(begin(trainer, job, dense, 0.0))["fc1.weight"] for job in (first, second))
    assert (exact != rounded).mean() > 0.9
    assert exact == pytest.approx(rounded, rel=2**-8)


# ---- evaluation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [7, 1000, 1003, 2001])
def test_evaluation_counts_every_sample_once(trainer, samples):
    dataset = images(test=samples)
    w = initial_weights(gated, task(gated, 12).input, 0)
    pixels = dataset.table[dataset.test.images, 0].reshape(samples, -1).astype(np.float64)
    hidden = np.maximum(pixels @ w["fc1.weight"].T + w["fc1.bias"], 0)
    gate = hidden.mean(1, keepdims=True) * w["gate.weight"][0] + w["gate.bias"]
    logits = hidden @ w["fc2.weight"].T + w["fc2.bias"] + gate
    truth = dataset.test.labels.copy()
    truth[-1] = logits[-1].argmax()  # right: if padding repeats it, that shows
    job = task(gated, 12, replace(dataset, test=replace(dataset.test, labels=truth)))
    metrics = trainer.evaluate(begin(trainer, job, dense, 0.0), "test")
    assert round(metrics.accuracy * samples) == (logits.argmax(1) == truth).sum()
    losses = np.log(np.exp(logits).sum(1)) - logits[range(samples), truth]
    assert metrics.loss == pytest.approx(losses.mean(), rel=1e-5)


# ---- compilation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["on_host", "on_device"])
def test_jax_compiles_once_whatever_changes(place, compiled):
    from sparsebench_jax import rewiring
    from sparsebench_jax.trainer import JaxTrainer

    trainer, job, method = JaxTrainer(), task(conv, 60), short(rigl)
    trainer._rewire = getattr(rewiring, place)
    masks = {layer.name: np.ones(layer.shape, bool) for layer in job.layers[1:]}
    state = trainer.init(job, initial_weights(conv, job.input, 0), masks)
    state, _ = trainer.train(state, method, job.feed(0), 0, 1)
    state, _ = update(trainer, job, state, method, Event(1, replaces_step=True), 0.0)
    trainer.evaluate(state, "test")
    compiled.clear()
    start = 2
    for k in range(20):
        stop = start + 1 + k % 4
        state, _ = trainer.train(state, method, job.feed(0), start, stop)
        state, _ = update(trainer, job, state, method, Event(stop, 0.05 * k, replaces_step=True), 0.04 * k)
        start = stop + 1
    trainer.evaluate(state, "test")
    trainer.masks(state), trainer.weights(state), trainer.snapshot(state)
    assert compiled == []
