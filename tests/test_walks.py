"""JAX's two ways through a segment, one compiled loop or step by step: the same training, and compiled once."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import small_folder
from sparsebench.data.folder import dataset as folder_of
from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from sparsebench.trainer import Task
from sparsebench_models.lenet import lenet_300_100
from tasks import begin, conv, gated, short, task, trainer_on, update, walk

pytest.importorskip("jax")
from sparsebench_jax import program, trainer

pytest_plugins = ("compilations",)


@pytest.fixture
def looping(monkeypatch):
    """loop(): from then on compiled loops are taken everywhere."""

    def loop():
        for module in (program, trainer):
            monkeypatch.setattr(module, "slow_in_loops", lambda task, platform: False)

    return loop


def taken(trainer, job):
    """Which ways were: the loop, the single step."""
    own = trainer._program(job)
    return own.segment._cache_size() > 0, own.step._cache_size() > 0


@pytest.mark.parametrize("recipe", [{}, {"accumulation": 2, "augmentation": "crop-flip"}], ids=["plain", "parts"])
def test_both_walks_train_a_convolutional_net_alike(looping, recipe):
    """XLA fuses multiply-adds otherwise inside a loop: the last digit may differ."""
    job, ends = task(conv, 18, **recipe), []
    for each, prepare, way in (
        (trainer_on("jax"), lambda: None, (False, True)),
        (trainer.JaxTrainer(), looping, (True, False)),
    ):
        prepare()
        done = [(loss, each.weights(state)) for _, loss, state in walk(each, job, static, 0.7)]
        assert taken(each, job) == way
        ends.append((np.array([loss for loss, _ in done]), done[-1][1]))
    (stepped, weights), (looped, others) = ends
    assert np.abs(stepped - looped).max() <= 1e-6
    for name in weights.keys() - {"conv1.bias", "conv2.bias"}:  # normalised away: their gradient is rounding
        assert others[name] == pytest.approx(weights[name], abs=2e-6)


def test_loops_longer_than_their_room_go_on(looping):
    """A loop has room for 128 steps: 300 of them are three calls, of one compiled program, and nothing is lost."""
    job = task(gated, 300, augmentation="none", warmup=20.0)
    each = trainer.JaxTrainer()
    whole = each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 300)[1].losses
    assert (whole.shape, whole.dtype) == ((300,), np.float32)
    state, losses = begin(each, job, static, 0.5), []
    for start, stop in ((0, 1), (1, 128), (128, 256), (256, 300)):
        state, tally = each.train(state, static, job.feed(0), start, stop)
        losses += tally.losses.tolist()
    assert losses == whole.tolist()
    assert each._program(job).segment._cache_size() == 1
    assert taken(each, job) == (True, False)
    state, tally = each.train(state, static, job.feed(0), 299, 299)
    assert tally.losses.shape == (0,)


# ---- compiled once ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A task whose images are read from files."""
    data = folder_of("small", small_folder.write(tmp_path_factory.mktemp("small")))
    data = replace(data, train=data.train.at(8), test=data.test.at(8))
    recipe = task(gated, 60).recipe.model_copy(update={"batch_size": 2, "augmentation": "resized-crop-flip"})
    return Task(lenet_300_100, data, recipe, 60)


PARTS = {"accumulation": 2, "augmentation": "crop-flip"}
WALKS = {
    "loop": (gated, {}, rigl),
    "loop that observes": (gated, {}, snfs),
    "loop in parts": (gated, {"accumulation": 2}, rigl),
    "loop in bfloat16": (gated, {"precision": "bfloat16"}, rigl),
    "steps that observe": (conv, {}, snfs),
    "steps in parts": (conv, PARTS, rigl),
    "steps in bfloat16": (conv, {"precision": "bfloat16"}, rigl),
    "stream": (None, {}, rigl),
}


@pytest.mark.parametrize(("model", "recipe", "method"), WALKS.values(), ids=WALKS)
def test_nothing_is_compiled_again_whatever_the_segments_and_updates(compiled, streamed, model, recipe, method):
    job = task(model, 60, **recipe) if model else streamed
    each, method = trainer_on("jax"), short(method, alpha=0.6)
    state = begin(each, job, method, 0.5)
    state, _ = each.train(state, method, job.feed(0), 0, 1)
    state, _ = update(each, job, state, method, Event(1, 0.5, replaces_step=True), 0.5)
    each.evaluate(state, "test")
    compiled.clear()
    start = 2
    for k in range(8):
        stop = start + 1 + k % 4
        state, _ = each.train(state, method, job.feed(k), start, stop)
        state, _ = update(each, job, state, method, Event(stop, 0.1 * k, replaces_step=True), 0.4 + 0.05 * k)
        start = stop + 1
    each.evaluate(state, "test")
    each.masks(state), each.weights(state), each.snapshot(state)
    assert compiled == []
    assert taken(each, job) == (model is gated, model is not gated)
    if each._data._ahead._batches:
        each._data._ahead._batches.close()
        each._data._ahead._batches = each._data._ahead._run = None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [gated, conv], ids=lambda model: model.name)
def test_a_run_with_a_hundred_updates_compiles_what_one_without_does(compiled, model, precision):
    """And, once, what an update is: a gradient, and adopting masks."""
    counts = []
    for updates in (0, 100):
        each, job = trainer.JaxTrainer(), task(model, 201, precision=precision)
        compiled.clear()
        state, _ = each.train(begin(each, job, rigl, 0.5), rigl, job.feed(0), 0, 1)
        for k in range(updates):
            event = Event(2 * k + 1, 0.3 * (1 - k / 100), replaces_step=True)
            state, _ = update(each, job, state, rigl, event, 0.5)
            state, _ = each.train(state, rigl, job.feed(0), 2 * k + 2, 2 * k + 3)
        each.evaluate(state, "test")
        counts.append(Counter(compiled))
    none, many = counts
    assert set(many - none) <= {"jit(gradient)", "jit(adopt)"}, "the update itself, once"
    assert max((many - none).values(), default=1) == 1
    assert none - many == Counter()
