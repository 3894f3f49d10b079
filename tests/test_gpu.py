"""On a CUDA device, in every backend: the host's masks, the laws, no waiting within a segment, and `bench` to the end.

Each is skipped with the reason where there is no such device.
"""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sparsebench import plugins
from sparsebench.conformance import oracle
from sparsebench.errors import UserError
from sparsebench.hardware import documents
from sparsebench.hardware.products import Product, bind
from sparsebench.method import gradient_magnitude, magnitude, random
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from sparsebench_models.lenet import lenet_300_100
from sparsebench_models.wide_resnet import wrn_22_2, wrn_22_2_dropout
from tasks import begin, bits, conv, gated, images, script, scripted, short, task, trainer_on, update, walk

pytest_plugins = ("command_line",)
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu(backend):
    """The backend's trainer on the first CUDA device."""
    try:
        return backend.trainer("cuda")
    except UserError as error:
        pytest.skip(f"needs a CUDA device: {error}")


def named(value):
    return getattr(value, "name", None)


# ---- masks ------------------------------------------------------------------------------------------------------


def frozen(steps=24):
    """Gradients are whole numbers times one, and weights stay as they are: scores are equal, or their order is."""
    return task(scripted, steps, learning_rate=1e-60)


def comparable(method):
    """Whether its scores are the same wherever they are made."""
    scores = method.drop in (magnitude, random) and method.grow in (gradient_magnitude, random)
    return method.updates and scores and not method.observe and not method.from_ticket


METHODS = [method for name in plugins.names("methods") if comparable(method := plugins.load("methods", name))]


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_equal_scores_give_the_hosts_masks_to_the_bit(gpu, backend, method):
    """Each way of selecting that an installed method has, through a whole run."""
    job, method, runs = frozen(), short(method, alpha=0.6), []
    for trainer in (trainer_on(backend.name), gpu):
        steps = walk(trainer, job, method, 0.5, seed=3)
        runs.append([bits(trainer.masks(state)) for _, _, state in steps])
    assert runs[0] == runs[1]
    assert len(set(map(str, runs[0]))) > 1


@pytest.mark.parametrize(("sparsity", "fraction"), [(0.0, 0.5), (0.5, 0.3), (0.9, 1.0), (0.999, 0.7)])
def test_masks_are_the_oracles(gpu, sparsity, fraction):
    job = frozen()
    state = begin(gpu, job, rigl, sparsity, 5)
    before, weights = gpu.masks(state), gpu.weights(state)
    (event, *_) = short(rigl).events(24)
    event = type(event)(3, fraction, replaces_step=True)
    state, _ = update(gpu, job, state, rigl, event, sparsity, 5)
    for layer in job.layers:
        old, drop = before[layer.name], np.abs(weights[f"{layer.name}.weight"])
        counts = oracle.counts(layer.size, sparsity, old.sum(), fraction)
        expected = oracle.update(drop, np.abs(script(layer)), old, *counts)
        assert (gpu.masks(state)[layer.name] == expected).all()


def test_initial_weights_and_masks_are_the_hosts(gpu, backend):
    host, job = trainer_on(backend.name), task(conv)
    ends = [(each.masks(state), each.weights(state)) for each in (host, gpu) for state in [begin(each, job, set_, 0.7)]]
    assert [bits(masks) for masks, _ in ends] == [bits(ends[0][0])] * 2
    assert [bits(weights) for _, weights in ends] == [bits(ends[0][1])] * 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", [set_, rigl, snfs], ids=named)
@pytest.mark.parametrize("model", [gated, conv], ids=named)
def test_counts_are_exact_and_weights_zero_outside(gpu, model, method, precision):
    job, told = task(model, 24, precision=precision), set()
    for _, loss, state in walk(gpu, job, short(method, alpha=0.6), 0.7):
        weights, masks = gpu.weights(state), gpu.masks(state)
        told.add(str(bits(masks)))
        assert np.isfinite(loss)
        for layer in job.layers:
            assert masks[layer.name].sum() == oracle.active(layer.size, 0.7)
            assert np.count_nonzero(weights[f"{layer.name}.weight"][~masks[layer.name]]) == 0
    assert len(told) > 3


def test_an_update_is_made_on_the_device(gpu, monkeypatch):
    rewiring = type(gpu).__module__.replace("trainer", "rewiring")
    monkeypatch.setattr(f"{rewiring}.on_host", lambda *_: pytest.fail("the host made it"))
    *_, (_, _, state) = walk(gpu, task(conv, 12), short(rigl), 0.7)
    for array in state.masks.values():
        assert "cuda" in str(array.device).lower()
        assert str(array.dtype).endswith("bool")


# ---- training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [gated, conv, lenet_300_100], ids=named)
def test_training_is_near_the_hosts(gpu, backend, model, precision):
    data = images((1, 28, 28)) if model is lenet_300_100 else None
    job = task(model, 10, data, precision=precision, learning_rate=0.02)
    losses = []
    for trainer in (trainer_on(backend.name), gpu):
        state = begin(trainer, job, static, 0.5)
        losses.append(trainer.train(state, static, job.feed(0), 0, 10)[1].losses)
    np.testing.assert_allclose(*losses, atol=2e-3 if precision == "float32" else 5e-2)


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam", "learning_rate": 0.01}], ids=str)
def test_a_snapshot_continues_to_the_bit(gpu, recipe):
    job, method = task(gated, 18, **recipe), short(rigl, alpha=0.6)
    straight = [(loss, bits(gpu.snapshot(state))) for _, loss, state in walk(gpu, job, method, 0.5)]
    steps = walk(gpu, job, method, 0.5)
    for _ in range(8):
        _, _, state = next(steps)
    state = gpu.restore(job, gpu.snapshot(state))
    rest = [(loss, bits(gpu.snapshot(state))) for _, loss, state in walk(gpu, job, method, 0.5, state=state, start=8)]
    assert rest == straight[8:]


@contextmanager
def no_waiting(name):
    """Whatever would make the host wait for the device, or send it something unasked, is an error."""
    if name == "jax":
        import jax

        with jax.transfer_guard("disallow"):
            yield
        return
    import torch

    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", [static, snfs], ids=named)
@pytest.mark.parametrize("model", [gated, conv], ids=named)
def test_nothing_waits_for_the_device_within_a_segment(gpu, backend, model, method, precision):
    job = task(model, 300, augmentation="crop-flip", precision=precision)
    state, _ = gpu.train(begin(gpu, job, method, 0.5), method, job.feed(0), 0, 10)
    with no_waiting(backend.name):
        advanced = gpu.advance(state, method, job.feed(0), 10, 300)
    state, losses = advanced if isinstance(advanced, tuple) else (state, [advanced])
    assert all(np.isfinite(np.asarray(loss.tolist())).all() for loss in losses)


# ---- memory, kernels, bench ---------------------------------------------------------------------------------------


def test_masks_take_a_byte_for_each_weight(gpu, backend):
    hardware, told = backend.hardware("cuda"), []
    job = task(lenet_300_100, 24, images((1, 28, 28)))
    for method, sparsity in ((static, 0.9), (plugins.load("methods", "dense"), 0.0)):
        state, _ = gpu.train(begin(gpu, job, method, sparsity), method, job.feed(0), 0, 10)
        told.append((hardware.step_bytes(gpu, state, method, job.feed(0)), hardware.mask_bytes(state)))
    (masked, kinds), (plain, none) = told
    weights = sum(layer.size for layer in job.prunable)
    assert (dict(kinds), sum(none.values())) == ({"bool": weights}, 0)
    assert masked - plain == pytest.approx(weights, abs=4096)


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_kernels_compute_what_they_should(gpu, backend, density):
    kernels = backend.hardware("cuda").kernels
    cases, missing = bind(Product("square", ((512, 512), (256, 512)), 128), density, kernels)
    assert missing == []
    wanted = {kernel.name for kernel in kernels if kernel.pattern != "2:4" or density == 0.5}
    assert {case.kernel.name for case in cases} == wanted
    assert backend.name != "torch" or density != 0.5 or "torch 2:4 fp16" in wanted


def test_bench_to_the_end(gpu, backend, command):
    arguments = ["--model", "lenet-300-100", "--backend", backend.name, "--repeats", "6", "--seconds", "240"]
    code, _, err = command("bench", "--device", "cuda", "--no-mlflow", "--records", "there", *arguments)
    assert code == 0, err
    (path,) = documents.paths(Path("there"))
    document = documents.read(path)
    assert document.machine.gpu["name"] == document.machine.name
    assert {row.precision for row in document.steps} == {"float32", "bfloat16"}
    for row in document.steps:
        assert row.ran == {"torch": "CUDA graph", "jax": "a compiled loop"}[backend.name]
        assert row.memory.masks == {"bool": row.prunable}
    assert {"float32", "bfloat16"} <= document.machine.ceilings.products.keys()
    assert backend.name != "torch" or any(row.pattern == "2:4" for row in document.products)


# ---- torch's recording --------------------------------------------------------------------------------------------


@pytest.fixture
def eager(gpu, backend):
    """The same trainer without graphs."""
    if backend.name != "torch":
        pytest.skip("JAX compiles its loops; there is nothing to record")
    from sparsebench_torch.recording import AGAIN

    return type(gpu)("cuda", recorder=AGAIN)


NETS = {
    "linear": (gated, {}), "convolutions": (conv, {}), "observed": (gated, {"weight_decay": 1e-2}),
    "parts": (conv, {"accumulation": 2, "augmentation": "crop-flip"}),
    "adam": (gated, {"optimizer": "adam", "learning_rate": 0.01}),
    "bfloat16": (conv, {"precision": "bfloat16"}),
    "channels last": (wrn_22_2, {"memory_format": "channels-last"}),
    "dropout": (wrn_22_2_dropout, {}),
}  # fmt: skip


@pytest.mark.parametrize(("model", "recipe"), NETS.values(), ids=NETS)
def test_a_graph_trains_as_eager_steps_do(gpu, eager, model, recipe):
    """Rates, dropout and masks are those of each step, through updates: near, since kernels may add atomically."""
    data = images((3, 16, 16)) if model in (wrn_22_2, wrn_22_2_dropout) else None
    job, losses = task(model, 24, data, warmup=6.0, **recipe), []
    for trainer in (eager, gpu):
        *steps, (_, _, state) = [
            (event, loss, state) for event, loss, state in walk(trainer, job, short(set_, alpha=0.6), 0.5)
        ]
        losses.append([loss for _, loss, _ in steps])
        assert state.ran == ("CUDA graph" if trainer is gpu else "eager")
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_step_that_waits_cannot_be_recorded_and_is_run_eagerly(gpu, eager, monkeypatch):
    import sparsebench_torch.recording as recording

    job, own = task(gated, 24), recording.step

    def waiting(*arguments):
        loss = own(*arguments)
        float(loss)
        return loss

    monkeypatch.setattr(recording, "step", waiting)
    state = begin(gpu, job, static, 0.5)
    with pytest.warns(RuntimeWarning, match="cannot be recorded"):
        state, tally = gpu.train(state, static, job.feed(0), 0, 24)
    assert state.ran.startswith("eager, since a step cannot be recorded")
    monkeypatch.undo()
    whole = eager.train(begin(eager, job, static, 0.5), static, job.feed(0), 0, 24)[1].losses
    np.testing.assert_allclose(tally.losses, whole, rtol=1e-5)
