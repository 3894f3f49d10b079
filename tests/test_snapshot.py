"""Snapshot, restore, continue: to the bit the same as never having stopped, through a file and in a fresh trainer."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from sparsebench.errors import UserError
from sparsebench.method import Event
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from tasks import begin, bits, conv, gated, half, short, task, trainer_on, update, walk
from test_optimizers import jax_chain, torch_listed, torch_own

STEPS = 14
RUNS = {
    "momentum": (gated, set_, {}),
    "statistics": (conv, rigl, {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 1e-2}),
    "bfloat16": (half, rigl, {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}),
    "dense": (gated, dense, {"nesterov": True, "label_smoothing": 0.1}),
}


def through_file(arrays, path):
    """What another process would read."""
    save_file(arrays, path / "snapshot.safetensors")
    return load_file(path / "snapshot.safetensors")


def run(trainer, job, method, state=None, start=0, stop=STEPS):
    """(losses, state) of iterations start … stop − 1."""
    steps = walk(trainer, job, method, 0.7, state=state, start=start)
    done = [(loss, state) for _, loss, state in islice(steps, stop - start)]
    return [loss for loss, _ in done], done[-1][1]


@pytest.mark.parametrize("name", RUNS)
def test_continuing_equals_never_having_stopped(backend, name, tmp_path):
    model, method, recipe = RUNS[name]
    job, method, trainer = task(model, STEPS, **recipe), short(method, alpha=0.6), trainer_on(backend.name)
    losses, state = run(trainer, job, method)
    whole, accuracy = bits(trainer.snapshot(state)), trainer.evaluate(state, "train")
    first, state = run(trainer, job, method, stop=5)
    arrays = through_file(trainer.snapshot(state), tmp_path)
    fresh = backend.trainer("cpu")
    for resumed in (trainer, fresh):
        second, state = run(resumed, job, method, resumed.restore(job, arrays), start=5)
        assert first + second == losses
        assert bits(resumed.snapshot(state)) == whole
        assert resumed.evaluate(state, "train") == accuracy


@pytest.mark.parametrize(("backend", "build"), [("torch", torch_own), ("jax", jax_chain)])
def test_an_optimizer_of_a_users_own_continues_too(backend, build, tmp_path):
    trainer, job, method = trainer_on(backend, build), task(gated, STEPS), short(set_)
    losses, state = run(trainer, job, method)
    whole = bits(trainer.snapshot(state))
    first, state = run(trainer, job, method, stop=6)
    state = trainer.restore(job, through_file(trainer.snapshot(state), tmp_path))
    second, state = run(trainer, job, method, state, start=6)
    assert first + second == losses
    assert bits(trainer.snapshot(state)) == whole


def test_counters_of_a_users_own_are_kept(tmp_path):
    trainer, job = trainer_on("torch", torch_own), task(gated, STEPS)
    _, state = run(trainer, job, short(set_), stop=6)
    state = trainer.restore(job, through_file(trainer.snapshot(state), tmp_path))
    assert state.optimizer.param_groups[0]["total"] == 6
    beats = [state.optimizer.state[p]["beats"] for p in state.module.parameters()]
    assert [(type(beat), beat) for beat in beats] == [(int, 6)] * 6


@settings(max_examples=10)
@given(stop=st.integers(1, STEPS - 1), order=st.randoms(use_true_random=False))
def test_any_iteration_and_any_order_of_the_arrays_will_do(backend, stop, order):
    trainer, job, method = trainer_on(backend.name), task(gated, STEPS), short(rigl, alpha=0.6)
    losses, state = run(trainer, job, method)
    whole = bits(trainer.snapshot(state))
    first, state = run(trainer, job, method, stop=stop)
    arrays = list(trainer.snapshot(state).items())
    order.shuffle(arrays)
    second, state = run(trainer, job, method, trainer.restore(job, dict(arrays)), start=stop)
    assert first + second == losses
    assert bits(trainer.snapshot(state)) == whole


def test_a_snapshot_is_a_copy(backend):
    trainer, job = trainer_on(backend.name), task(gated, STEPS)
    _, state = run(trainer, job, short(rigl), stop=5)
    arrays = trainer.snapshot(state)
    weights, masks = trainer.weights(state), trainer.masks(state)
    before = bits(arrays), bits(weights), bits(masks)
    state, _ = trainer.train(state, rigl, job.feed(0), 5, 9)
    update(trainer, job, state, rigl, Event(9, 0.9, replaces_step=True), 0.7)
    state = trainer.restore(job, arrays)
    trainer.train(state, rigl, job.feed(0), 5, 9)
    assert (bits(arrays), bits(weights), bits(masks)) == before


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_bfloat16_is_kept_as_its_bits(backend):
    trainer, job = trainer_on(backend), task(half, STEPS)
    _, state = run(trainer, job, short(set_), stop=5)
    arrays, weights = trainer.snapshot(state), trainer.weights(state)
    assert weights["fc1.weight"].dtype == np.float32
    for name, weight in weights.items():
        stored = arrays[f"parameter/{name}:bfloat16"]
        assert stored.dtype == np.int16
        assert ((stored.view(np.uint16).astype(np.uint32) << 16).view(np.float32) == weight).all()


def test_what_cannot_be_saved_is_refused():
    trainer, job = trainer_on("torch", torch_listed), task(gated, STEPS)
    state = begin(trainer, job, dense, 0.0)
    state, _ = trainer.train(state, dense, job.feed(0), 0, 1)
    with pytest.raises(UserError, match=r"keeps a list at .*fc1\.weight/history: only tensors and numbers are saved"):
        trainer.snapshot(state)
