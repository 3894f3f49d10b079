"""Running statistics travel with the weights: the same names in both frameworks, and evaluation is the same again."""

import numpy as np
import pytest

from sparsebench.methods.static import static
from sparsebench_models.wide_resnet import wrn_22_2
from tasks import begin, bits, conv, images, task, trainer_on

JOBS = {
    "conv": task(conv, 24, learning_rate=0.3),
    "wrn-22-2": task(wrn_22_2, 6, images((3, 8, 8)), learning_rate=0.01, weight_decay=1e-3),
}
NORMS = {"conv": 2, "wrn-22-2": 19}


def is_statistic(name):
    return name.rpartition(".")[2] in ("running_mean", "running_var")


@pytest.fixture(scope="module", params=["conv", pytest.param("wrn-22-2", marks=pytest.mark.slow)])
def trained(request):
    """(job, backend -> its trainer, backend -> weights, masks and metrics) after the run."""
    job, ends = JOBS[request.param], {}
    trainers = {name: trainer_on(name) for name in ("torch", "jax")}
    for name, trainer in trainers.items():
        state, _ = trainer.train(begin(trainer, job, static, 0.5), static, job.feed(0), 0, job.steps)
        ends[name] = trainer.weights(state), trainer.masks(state), trainer.evaluate(state, "test")
    return job, trainers, ends


def test_both_frameworks_have_the_same_names(trained):
    job, _, ends = trained
    names = [list(weights) for weights, _, _ in ends.values()]
    assert sorted(names[0]) == sorted(names[1])
    statistics = [name for name in names[0] if is_statistic(name)]
    assert len(statistics) == 2 * NORMS[job.model.name]
    for weights, _, _ in ends.values():
        assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
        assert all((weights[name] != name.endswith("var")).any() for name in statistics), "they moved"


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_what_is_given_is_restored_and_what_is_not_starts_fresh(trained, name):
    job, trainers, ends = trained
    trainer, (weights, masks, metrics) = trainers[name], ends[name]
    state = trainer.init(job, weights, masks)
    assert trainer.evaluate(state, "test") == metrics
    assert bits(trainer.weights(state)) == bits(weights)
    bare = {key: array for key, array in weights.items() if not is_statistic(key)}
    fresh = trainer.init(job, bare, masks)
    assert abs(trainer.evaluate(fresh, "test").loss - metrics.loss) > 1e-3, "a hundred times what frameworks differ by"
    mean = next(key for key in weights if key.endswith("running_mean"))
    partly = trainer.weights(trainer.init(job, bare | {mean: weights[mean]}, masks))
    for key, array in partly.items():
        expected = weights[key] if key in bare or key == mean else np.full(array.shape, key.endswith("var"))
        assert (array == expected).all()


@pytest.mark.parametrize(("source", "target"), [("torch", "jax"), ("jax", "torch")])
def test_one_frameworks_network_is_the_others(trained, source, target):
    job, trainers, ends = trained
    weights, masks, metrics = ends[source]
    found = trainers[target].evaluate(trainers[target].init(job, weights, masks), "test")
    assert found.loss == pytest.approx(metrics.loss, abs=1e-5)
    assert found.accuracy == metrics.accuracy


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_statistics_that_were_taken_are_a_copy(trained, name):
    job, trainers, ends = trained
    trainer, (weights, masks, _) = trainers[name], ends[name]
    state, before = trainer.init(job, weights, masks), bits(weights)
    taken = trainer.weights(state)
    state, _ = trainer.train(state, static, job.feed(0), 0, 1)
    assert bits(taken) == before == bits(weights)
    moved = trainer.weights(state)
    assert all((moved[key] != taken[key]).any() for key in taken if is_statistic(key))
