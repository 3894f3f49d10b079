"""The example package, installed as a stranger's: found, run by the command line, as exact as the other backends."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import installed
import plain
from sparsebench import plugins, records
from sparsebench.conformance import oracle
from sparsebench.data.digits import digits
from sparsebench.data.host import HostData
from sparsebench.method import Event
from sparsebench.methods.dense import dense
from sparsebench.methods.static import static
from sparsebench_models.lenet import lenet_300_100
from tasks import begin, bits, short, task, trainer_on, update, walk

PROJECT = Path(__file__).parents[1] / "examples" / "sparsebench-example"
SUITE = """
title = "somebody else's"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
label_smoothing = 0.1
steps = 200
[updates]
delta_t = 20
[grid]
methods = ["dense", "static", "rigl", "snfs", "pruning", "mest-em", "mest-ems"]
sparsities = [0.9]
backends = ["numpy"]
seeds = 1
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder in which the example is installed."""
    folder = tmp_path_factory.mktemp("site")
    installed.install(PROJECT, folder)
    return folder


@pytest.fixture
def importable(site, monkeypatch):
    """It is installed in this process too."""
    monkeypatch.syspath_prepend(str(site))
    plugins._entries.cache_clear()
    yield
    plugins._entries.cache_clear()


@pytest.fixture
def numpy_trainer(importable):
    """The example's trainer."""
    return plugins.load("backends", "numpy").trainer("cpu")


def on_digits(steps=20, **recipe):
    return task(lenet_300_100, steps, digits.load(None), **{"weight_decay": 1e-3, "label_smoothing": 0.1} | recipe)


# ---- from outside -----------------------------------------------------------------------------------------------


def test_what_it_registers_is_listed(site, tmp_path):
    for what, names in (("methods", {"mest", "mest-em", "mest-ems", "rigl"}), ("backends", {"numpy", "torch", "jax"})):
        code, out, err = installed.sparsebench("list", what, site=site, folder=tmp_path)
        assert (code, err) == (0, [])
        assert {line.split()[0] for line in out} >= names


def test_a_suite_runs_in_it(site, tmp_path):
    (tmp_path / "theirs.toml").write_text(SUITE)
    code, out, err = installed.sparsebench("run", "theirs.toml", "--no-mlflow", site=site, folder=tmp_path)
    assert (code, err) == (0, [])
    found = {record.config.method: record for record in map(records.read, records.paths(tmp_path / "runs"))}
    assert set(found) == {"dense", "static", "rigl", "snfs", "pruning", "mest-em", "mest-ems"}
    assert all(any(name in line and "numpy" in line for line in out) for name in found)
    for name, record in found.items():
        active = sum(int(mask.sum()) for mask in record.masks().values())
        assert active == (0 if name == "dense" else sum(row["active"] for row in record.layers))
        assert record.result["accuracy"] > 0.85
    assert found["mest-em"].result["training_flops"] == found["static"].result["training_flops"], "no dense gradient"
    assert found["rigl"].result["training_flops"] > found["static"].result["training_flops"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--device", "cuda"], "device 'cuda' was asked for, but backend 'numpy' knows only the host"),
        (["--recipe.optimizer", "adam"], "its only optimizer is 'sgd', not 'adam'"),
        (["--recipe.precision", "bfloat16"], "its only precision is 'float32', not 'bfloat16'"),
        (["--model", "resnet50"], "backend 'numpy' cannot build model 'resnet50'"),
    ],
    ids=["device", "optimizer", "precision", "model"],
)
def test_what_it_cannot_do_is_told_in_one_line(site, tmp_path, options, told):
    some = ("train", "--method", "static", "--dataset", "digits", "--backend", "numpy", "--recipe.steps", "10")
    code, _, err = installed.sparsebench(*some, *options, "--no-mlflow", site=site, folder=tmp_path)
    assert code == 2
    assert len(err) == 1
    assert told in err[0]


@pytest.mark.slow
def test_its_own_tests_of_the_laws_pass(site):
    """Those of the backend, and of the method that asks most of one; all of them, in every backend, take minutes."""
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_numpy or (test_mest_ems and numpy)")
    done = installed.python(*tests, site=site, folder=PROJECT)
    assert done.returncode == 0, done.stdout
    assert " passed, " in done.stdout.splitlines()[-1]


# ---- beside the other backends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["torch", "jax"])
@pytest.mark.parametrize("recipe", [{}, {"nesterov": True}, {"accumulation": 4}], ids=["momentum", "nesterov", "parts"])
@pytest.mark.parametrize("method", [dense, static], ids=lambda method: method.name)
def test_twenty_steps_agree(numpy_trainer, other, recipe, method):
    job, ends = on_digits(**recipe), []
    for trainer in (numpy_trainer, trainer_on(other)):
        state, tally = trainer.train(begin(trainer, job, method, 0.8), method, job.feed(0), 0, 20)
        ends.append((tally.losses, trainer.weights(state), trainer.evaluate(state, "test")))
    assert ends[0][0] == pytest.approx(ends[1][0], abs=1e-4)
    for name, found in ends[0][1].items():
        assert found == pytest.approx(ends[1][1][name], abs=1e-5)
    assert ends[0][2].accuracy == ends[1][2].accuracy
    assert ends[0][2].loss == pytest.approx(ends[1][2].loss, abs=1e-4)


@pytest.mark.parametrize("other", ["torch", "jax"])
@pytest.mark.parametrize("name", ["set", "rigl", "snfs", "pruning", "pruning-global", "mest-em", "mest-ems"])
def test_the_first_update_gives_the_same_masks(numpy_trainer, other, name):
    job, method, masks = on_digits(), short(plugins.load("methods", name), delta_t=5), []
    for trainer in (numpy_trainer, trainer_on(other)):
        state = next(state for event, _, state in walk(trainer, job, method, 0.9) if event)
        masks.append(trainer.masks(state))
    assert bits(masks[0]) == bits(masks[1])


def test_mest_drops_what_the_formula_says(numpy_trainer):
    job, method = on_digits(), plugins.load("methods", "mest")
    state = begin(numpy_trainer, job, method, 0.9)
    weights, before = numpy_trainer.weights(state), numpy_trainer.masks(state)
    (part,) = HostData().parts(job, job.feed(0), 7)
    _, slopes = state.network.gradients(weights, *part, job.recipe.label_smoothing)
    state, _ = update(numpy_trainer, job, state, method, Event(7, 0.2, replaces_step=True), 0.9)
    for layer in job.layers:
        name = f"{layer.name}.weight"
        drop = np.abs(weights[name]) + 0.5 * np.abs(slopes[name])
        grow = oracle.noise_array(0, 7, layer.name, "grow", layer.shape)
        counts = oracle.counts(layer.size, 0.9, before[layer.name].sum(), 0.2)
        wanted = oracle.update(drop, grow, before[layer.name], *counts)
        assert (numpy_trainer.masks(state)[layer.name] == wanted).all()


def test_elastic_mutation_halves_and_ends(importable):
    events = plugins.load("methods", "mest-em").events(1600)
    assert [event.iteration for event in events] == list(range(100, 1200, 100))
    assert [event.drop_fraction for event in events] == [0.2] * 8 + [0.1] * 3
    assert all(event.replaces_step for event in events)


def test_a_soft_bound_is_denser_in_between(numpy_trainer):
    job, method = on_digits(16), short(plugins.load("methods", "mest-ems"), end=0.75, alpha=0.4)
    found = []
    for event, _, state in walk(numpy_trainer, job, method, 0.9):
        found += [(event.iteration, numpy_trainer.masks(state)["fc1"].sum())] if event else []
    planned = oracle.active(64 * 300, 0.9)
    assert found == [(3, planned * 14 // 10), (6, planned * 14 // 10), (9, planned * 12 // 10), (12, planned)]


# ---- laws -------------------------------------------------------------------------------------------------------


def test_dense_training_is_a_loop_written_by_hand(numpy_trainer):
    job = on_digits()
    losses, weights = by_hand(job)
    state, tally = numpy_trainer.train(begin(numpy_trainer, job, dense, 0.0), dense, job.feed(0), 0, 20)
    assert tally.losses == pytest.approx(losses, abs=1e-6)
    for name, found in numpy_trainer.weights(state).items():
        assert found == pytest.approx(weights[name], abs=1e-6)


def by_hand(job):
    """LeNet-300-100 with momentum, weight decay and label smoothing: (losses, weights)."""
    w = {name: array.copy() for name, array in plain.initial_weights(job.model, job.input, 0).items()}
    v, losses = dict.fromkeys(w, 0.0), []
    for rate, pixels, labels in plain.batches(job):
        x = pixels.reshape(len(pixels), -1)
        h1 = np.maximum(x @ w["fc1.weight"].T + w["fc1.bias"], 0)
        h2 = np.maximum(h1 @ w["fc2.weight"].T + w["fc2.bias"], 0)
        z = h2 @ w["fc3.weight"].T + w["fc3.bias"]
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        t = 0.9 * np.eye(10)[labels] + 0.1 / 10
        losses.append(-(t * np.log(p)).sum(1).mean())
        d3 = (p - t) / len(x)
        d2 = (d3 @ w["fc3.weight"]) * (h2 > 0)
        d1 = (d2 @ w["fc2.weight"]) * (h1 > 0)
        for name, d, h in (("fc1", d1, x), ("fc2", d2, h1), ("fc3", d3, h2)):
            v[f"{name}.weight"] = 0.9 * v[f"{name}.weight"] + d.T @ h + 1e-3 * w[f"{name}.weight"]
            v[f"{name}.bias"] = 0.9 * v[f"{name}.bias"] + d.sum(0)
        w = {name: array - rate * v[name] for name, array in w.items()}
    return losses, w


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_method_runs_resumes_and_repeats_to_the_bit(numpy_trainer, name):
    job, method = on_digits(12), plugins.load("methods", name)
    method = short(method) if name not in ("snip", "snip-global") else method
    first, second, back = [], [], None
    for i, (_, _, state) in enumerate(walk(numpy_trainer, job, method, 0.9)):
        first.append(bits(numpy_trainer.snapshot(state)))
        back = numpy_trainer.snapshot(state) if i == 5 else back
    for _, _, state in walk(numpy_trainer, job, method, 0.9, state=numpy_trainer.restore(job, back), start=6):
        second.append(bits(numpy_trainer.snapshot(state)))
        for layer, mask in numpy_trainer.masks(state).items():
            assert not numpy_trainer.weights(state)[f"{layer}.weight"][~mask].any()
    assert second == first[6:]


def test_grown_connections_start_anew(numpy_trainer):
    job, method = on_digits(12), replace(plugins.load("methods", "set"), grown_value="random")
    state = begin(numpy_trainer, job, method, 0.9)
    state, _ = numpy_trainer.train(state, method, job.feed(0), 0, 4)
    before = numpy_trainer.masks(state)
    state, _ = update(numpy_trainer, job, state, method, Event(3, 0.5), 0.9)
    for name, mask in numpy_trainer.masks(state).items():
        grown = mask & ~before[name]
        assert grown.any()
        assert state.parameters[f"{name}.weight"][grown].all()
        assert not state.velocities[f"{name}.weight"][grown].any()
        assert state.velocities[f"{name}.weight"][mask & before[name]].any()
