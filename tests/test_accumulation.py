"""A batch in equal parts: the full batch's step without batch statistics, and with them a plain loop over the parts."""

import numpy as np
import pytest

import plain
from gradients import assert_grown_by_gradient, dense_gradient
from sparsebench.method import Event
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.methods.static import static
from tasks import BATCH, begin, bits, conv, gated, short, task, trainer_on, update, walk


@pytest.fixture(scope="module")
def trainer(backend):
    """One for all tests, so that its compiled programs are used again."""
    return trainer_on(backend.name)


def run(trainer, job, method, sparsity=0.7, seed=0):
    """(losses, masks after every iteration, last weights)."""
    done = [(loss, bits(trainer.masks(state)), state) for _, loss, state in walk(trainer, job, method, sparsity, seed)]
    losses, masks, states = zip(*done, strict=True)
    return list(losses), list(masks), trainer.weights(states[-1])


# ---- without batch statistics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [dense, set_, rigl, snfs], ids=lambda method: method.name)
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_are_the_full_batch(trainer, method, parts):
    """Gradients too: RigL and SNFS grow by them, and so the masks are the same."""
    recipe = {"weight_decay": 1e-2, "label_smoothing": 0.1}
    jobs = [task(gated, 16, **recipe), task(gated, 16, accumulation=parts, **recipe)]
    (losses, masks, weights), (by_part, same, others) = (run(trainer, job, short(method, alpha=0.6)) for job in jobs)
    assert by_part == pytest.approx(losses, abs=1e-6)
    assert same == masks
    assert len({str(each) for each in masks}) >= (1 if method is dense else 4)
    for name, weight in weights.items():
        assert others[name] == pytest.approx(weight, abs=1e-6)
    assert by_part != losses, "sums in another order"


@pytest.mark.parametrize(
    ("model", "parts", "smoothing"),
    [(gated, 2, 0.0), (gated, 4, 0.1), (gated, BATCH, 0.0), (conv, 2, 0.1)],
    ids=lambda given: getattr(given, "name", None),
)
def test_growth_follows_the_dense_gradient_of_all_parts(trainer, model, parts, smoothing):
    assert_grown_by_gradient(trainer, task(model, 12, accumulation=parts, label_smoothing=smoothing))


def observed(trainer, state):
    """What SNFS remembers, by layer, in canonical layout."""
    found = {name: array for name, array in trainer.snapshot(state).items() if name.startswith("aux/")}
    return {name.removeprefix("aux/"): array for name, array in found.items()}


@pytest.mark.parametrize("model", [gated, conv], ids=lambda model: model.name)
def test_snfs_observes_the_dense_gradient_of_all_parts(trainer, model):
    """m ← 0.9 · m + 0.1 · g, from 0, once for each batch. `gate` has no gradient but rounding."""
    job = task(model, 12, accumulation=2, label_smoothing=0.1)
    state = begin(trainer, job, snfs, 0.7)
    expected = {layer.name: np.zeros(layer.shape) for layer in job.layers}
    for i in range(3):
        _, gradients, _ = dense_gradient(job, trainer.weights(state), job.feed(0).indices(i, i + 1)[0])
        expected = {name: 0.9 * mean + 0.1 * gradients[f"{name}.weight"] for name, mean in expected.items()}
        state, _ = trainer.train(state, snfs, job.feed(0), i, i + 1)
        largest = max(np.abs(mean).max() for mean in expected.values())
        found = observed(trainer, state)
        assert found.keys() == expected.keys()
        for name, mean in expected.items():
            assert found[name] == pytest.approx(mean, abs=1e-6 * largest)


# ---- with batch statistics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [{"momentum": 0.9}, {"nesterov": True, "label_smoothing": 0.1}])
@pytest.mark.parametrize("parts", [2, 4])
def test_torch_is_a_plain_loop_over_the_parts(parts, recipe):
    """To the bit, batch statistics included, which move with every part."""
    trainer, job = trainer_on("torch"), task(conv, 12, accumulation=parts, weight_decay=1e-2, **recipe)
    losses, weights = plain.plain_torch(job)
    state, tally = trainer.train(begin(trainer, job, dense, 0.0), dense, job.feed(0), 0, 12)
    assert bits(trainer.weights(state)) == bits(weights)
    assert tally.losses.tolist() == pytest.approx(losses, abs=1e-6)
    assert [int(norm.num_batches_tracked) for norm in (state.module.bn1, state.module.bn2)] == [12 * parts] * 2
    whole, _ = plain.plain_torch(task(conv, 12, weight_decay=1e-2, **recipe))
    assert np.abs(np.subtract(whole, losses)).max() > 1e-3, "what is normalised is another"


@pytest.mark.parametrize("event", [False, True])
def test_running_statistics_move_once_for_every_part(trainer, event):
    """m ← 0.9 · m + 0.1 · mean of the part: in a step, and in an update that takes a gradient."""
    job = task(conv, 12, accumulation=2, label_smoothing=0.1)
    state = begin(trainer, job, rigl, 0.5)
    weights, batch = trainer.weights(state), job.feed(0).indices(3, 4)[0]
    if event:
        state, _ = update(trainer, job, state, rigl, Event(3, 0.3, replaces_step=True), 0.5)
    else:
        state, _ = trainer.train(state, rigl, job.feed(0), 3, 4)
    *_, means = dense_gradient(job, weights, batch)
    expected = 0.0
    for mean in means:
        expected = 0.9 * expected + 0.1 * mean
    assert len(means) == 2
    assert trainer.weights(state)["bn1.running_mean"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("model", "method"), [(gated, dense), (conv, static)], ids=["dense", "static"])
def test_ten_steps_agree(model, method):
    """As without accumulation, and as closely."""
    job = task(model, 10, weight_decay=1e-3, label_smoothing=0.1, accumulation=4)
    losses, metrics = [], []
    for trainer in (trainer_on("torch"), trainer_on("jax")):
        state, tally = trainer.train(begin(trainer, job, method, 0.8), method, job.feed(0), 0, 10)
        losses.append(tally.losses)
        metrics.append(trainer.evaluate(state, "test"))
    assert abs(losses[0] - losses[1]).max() <= 1e-4
    assert metrics[0].accuracy == metrics[1].accuracy
