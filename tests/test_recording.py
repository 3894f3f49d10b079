"""Steps that are recorded and replayed, in torch, with a stand-in that calls the step again: the same training.

What a CUDA graph does on a GPU is in `test_gpu_torch`; here is all that leads up to it.
"""

import gc
import weakref
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from tasks import RECIPES, begin, bits, conv, gated, one_thread, short, task, update, walk

pytest.importorskip("torch")
import torch

from sparsebench_torch import optimizers, recording, trainer
from sparsebench_torch.recording import AGAIN, WARM_UP, Recorder


class Tape:
    """A recorder that counts; it checks that what is recorded is never made anew elsewhere."""

    def __init__(self):
        self.first = self.recorded = self.replayed = 0
        self.recorder = Recorder("tape", self._first, self._record)

    def _first(self, step):
        self.first += 1
        step()

    def _record(self, step):
        self.recorded += 1

        def replay():
            self.replayed += 1
            step()

        return replay


def taped(tape=None):
    one_thread()
    return trainer.TorchTrainer(optimizer=optimizers.recordable, recorder=(tape or Tape()).recorder)


@pytest.fixture(scope="module")
def eager():
    """The same optimizers without a recorder."""
    one_thread()
    return trainer.TorchTrainer(optimizer=optimizers.recordable)


CASES = {
    **{name: (gated, set_, recipe) for name, recipe in RECIPES.items()},
    "convolutions": (conv, rigl, {"weight_decay": 1e-2}),
    "augmented": (conv, rigl, {"augmentation": "crop-flip"}),
    "parts": (conv, rigl, {"accumulation": 2, "augmentation": "crop-flip"}),
    "observed": (gated, snfs, {}),
    "bfloat16": (conv, set_, {"precision": "bfloat16"}),
}


@pytest.mark.parametrize(("model", "method", "recipe"), CASES.values(), ids=CASES)
def test_recorded_steps_are_eager_steps_to_the_bit(eager, model, method, recipe):
    """Masks, weights, optimizer state, statistics and losses, through updates; rates fall from step to step."""
    job, method = task(model, 24, warmup=6.0, **recipe), short(method, alpha=0.6)
    tape = Tape()
    one, other = (list(seen(each, job, method)) for each in (eager, taped(tape)))
    assert one == other
    events = sum(event.replaces_step for event in method.events(24))
    assert (tape.first, tape.recorded, tape.replayed) == (WARM_UP, 1, 24 - events - WARM_UP)


def seen(each, job, method):
    """(loss, everything) after every iteration."""
    for _, loss, current in walk(each, job, method, 0.5):
        yield loss, bits(each.snapshot(current))


def test_recorded_steps_are_those_of_the_plain_optimizer():
    """As near as fused kernels are: they round sums of products once."""
    one_thread()
    for recipe in RECIPES.values():
        job = task(gated, 12, **recipe)
        plain, fused = trainer.TorchTrainer(), taped()
        losses = [
            each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 12)[1].losses for each in (plain, fused)
        ]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_segments_longer_and_shorter_than_their_room_are_one_recording(eager):
    job, tape = task(gated, 300, augmentation="none", warmup=20.0), Tape()
    each = taped(tape)
    whole = eager.train(begin(eager, job, static, 0.5), static, job.feed(0), 0, 300)[1].losses
    current, losses = begin(each, job, static, 0.5), []
    for start, stop in ((0, 1), (1, 2), (2, 2), (2, 131), (131, 300)):
        current, tally = each.train(current, static, job.feed(0), start, stop)
        assert tally.losses.shape == (stop - start,)
        losses += tally.losses.tolist()
    assert losses == whole.tolist()
    assert (tape.recorded, tape.replayed) == (1, 297)
    assert current.ran == "tape"


@pytest.mark.parametrize("model", [gated, conv], ids=lambda model: model.name)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_hundred_updates_record_no_more_than_none(model, precision):
    tapes, job = {count: Tape() for count in (0, 100)}, task(model, 120, precision=precision)
    for count, tape in tapes.items():
        each = taped(tape)
        current, _ = each.train(begin(each, job, rigl, 0.5), rigl, job.feed(0), 0, 10)
        for k in range(count):
            current, _ = update(each, job, current, rigl, Event(10, 0.005 * k, replaces_step=True), 0.4 + 0.001 * k)
            current, _ = each.train(current, rigl, job.feed(0), 10 + k, 11 + k)
        each.evaluate(current, "test")
        each.train(current, rigl, job.feed(0), 110, 120)
    assert [tape.recorded for tape in tapes.values()] == [1, 1]


def test_what_is_recorded_stays_where_it_is():
    """A graph knows addresses: parameters, masks, optimizer state and what is observed are written in place only."""
    job, method, each = task(conv, 24), short(snfs, alpha=0.6), taped()
    places = []
    for _, _, current in walk(each, job, method, 0.5):
        if len(places) < 2 or current.loop._warm >= WARM_UP:
            places.append(addresses(current))
    assert places[-1].keys() == places[5].keys()
    assert places[-1] == places[5]


def addresses(current):
    found = {name: tensor.data_ptr() for name, tensor in current.module.state_dict(keep_vars=True).items()}
    found |= {f"mask {i}": tensor.data_ptr() for i, tensor in enumerate(current.multipliers)}
    found |= {f"aux {name}": tensor.data_ptr() for name, tensor in current.aux.items()}
    for i, own in enumerate(current.optimizer.state.values()):
        found |= {f"state {i} {key}": value.data_ptr() for key, value in own.items()}
    return found | {f"rate {i}": group["lr"].data_ptr() for i, group in enumerate(current.optimizer.param_groups)}


def test_a_restored_state_is_recorded_anew_and_goes_on_to_the_bit():
    for recipe in ({}, {"optimizer": "adam", "learning_rate": 0.01}):
        job, method = task(conv, 18, **recipe), short(rigl, alpha=0.6)
        straight = list(seen(taped(), job, method))
        tape, steps = Tape(), walk(taped(), job, method, 0.5)
        for _ in range(8):
            _, _, current = next(steps)
        each = taped(tape)
        current = each.restore(job, each.snapshot(current))
        assert all(isinstance(group["lr"], torch.Tensor) for group in current.optimizer.param_groups)
        rest = list(walk(each, job, method, 0.5, state=current, start=8))
        assert [loss for _, loss, _ in rest] == [loss for loss, _ in straight[8:]]
        assert bits(each.snapshot(rest[-1][2])) == straight[-1][1]
        assert tape.recorded == 1


def test_a_method_that_observes_otherwise_is_recorded_anew():
    job, tape = task(gated, 24), Tape()
    each = taped(tape)
    current = begin(each, job, static, 0.5)
    for method in (static, snfs, replace(snfs, name="other")):
        current, _ = each.train(current, method, job.feed(0), 0, 6)
    assert tape.recorded == 2


def test_a_state_that_nobody_holds_is_gone_at_once():
    """Networks must not wait for the garbage collector with a device's memory."""
    each, job = taped(), task(gated, 24)
    gc.collect()
    gc.disable()
    try:
        current, _ = each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 6)
        known = weakref.ref(current)
        del current
        assert known() is None
    finally:
        gc.enable()


# ---- what cannot be recorded ------------------------------------------------------------------------------------


def test_a_step_that_cannot_be_recorded_is_run_and_told(eager):
    """The failed attempt ran nothing on a device; here the stand-in refuses before it does."""
    job = task(gated, 24)

    def refuse(step):
        raise RuntimeError("operation not permitted when stream is capturing\nC++ frames")

    each = trainer.TorchTrainer(optimizer=optimizers.recordable, recorder=replace(AGAIN, record=refuse))
    whole = eager.train(begin(eager, job, static, 0.5), static, job.feed(0), 0, 24)[1].losses
    current = begin(each, job, static, 0.5)
    with pytest.warns(RuntimeWarning, match="cannot be recorded: operation not permitted") as told:
        current, tally = each.train(current, static, job.feed(0), 0, 24)
    assert len(told) == 1
    assert tally.losses.tolist() == whole.tolist()
    assert current.ran == "eager, since a step cannot be recorded: operation not permitted when stream is capturing"


def test_an_optimizer_that_counts_on_the_host_is_run_eagerly_and_told():
    job = task(gated, 24)
    each = trainer.TorchTrainer(recorder=Tape().recorder)
    current, _ = each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 6)
    assert current.ran == "eager, since optimizer SGD is not fused with its learning rate on the device"
    own = trainer.TorchTrainer(optimizer=lambda m, r: torch.optim.Adadelta(m.parameters()), recorder=Tape().recorder)
    current, _ = own.train(begin(own, job, static, 0.5), static, job.feed(0), 0, 6)
    assert current.ran == "eager, since optimizer Adadelta is not known to keep all that changes on the device"


def test_on_a_cpu_nothing_is_recorded():
    each, job = trainer.TorchTrainer(), task(gated, 24)
    current, _ = each.train(begin(each, job, static, 0.5), static, job.feed(0), 0, 6)
    assert (each.recorder, current.loop, current.ran) == (None, None, "eager")
    assert not any(group["fused"] for group in current.optimizer.param_groups)


# ---- the graph itself, as far as a machine without a GPU can tell ----------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """What is asked of torch.cuda, in order."""
    asked = []

    @contextmanager
    def within(what):
        asked.append(f"begin {what}")
        yield
        asked.append(f"end {what}")

    class Stream:
        def __init__(self, name="side"):
            self.name = name

        def wait_stream(self, other):
            asked.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self):
            asked.append("replay")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("default"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: within(f"on {stream.name}"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: within(f"capture on {stream.name}"))
    recording._side.cache_clear()
    yield asked
    recording._side.cache_clear()


def test_first_steps_are_on_a_side_stream_and_a_capture_holds_one(calls):
    recording.CUDA_GRAPH.first(lambda: calls.append("step"))
    assert calls == ["side waits for default", "begin on side", "step", "end on side", "default waits for side"]
    calls.clear()
    replay = recording.CUDA_GRAPH.record(lambda: calls.append("step"))
    replay()
    replay()
    assert calls == ["begin capture on side", "step", "end capture on side", "replay", "replay"]


def test_a_gpu_records_with_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert trainer.TorchTrainer("cuda").recorder is recording.CUDA_GRAPH
    assert trainer.TorchTrainer("cuda", recorder=AGAIN).recorder is AGAIN
