"""Methods that look at gradients before or between updates, and those that compare layers, held to plain NumPy."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.conformance import oracle
from sparsebench.masks import Counts, allotted, budget, keep, ranked, shared_out
from sparsebench.method import Event, Signals, mean_aux
from sparsebench.methods.granet import granet_global
from sparsebench.methods.pruning import pruning_global
from sparsebench.methods.rigl import rigl
from sparsebench.methods.rigl_nm import rigl_2_4
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs, snfs_redistributed
from sparsebench.methods.snip import snip, snip_global
from sparsebench.methods.srigl import srigl
from strategies import everywhere, layer
from tasks import begin, bits, conv, gated, script, scripted, short, task, trainer_on, update, walk

FIRST = Event(0, replaces_step=True)


@pytest.fixture(scope="module")
def trainer(backend):
    return trainer_on(backend.name)


def active(trainer, state):
    return {name: int(mask.sum()) for name, mask in trainer.masks(state).items()}


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays.values()])


# ---- SNIP -----------------------------------------------------------------------------------------------------


def test_snip_is_the_oracles_on_a_net_of_known_gradients(trainer):
    job = task(scripted)
    state = begin(trainer, job, snip, 0.8)
    weights = trainer.weights(state)
    state, report = update(trainer, job, state, snip, FIRST, 0.8)
    for which in job.layers:
        saliency = np.abs(weights[f"{which.name}.weight"] * script(which))
        count = oracle.active(which.size, 0.8)
        assert (trainer.masks(state)[which.name] == oracle.top(saliency, count, np.ones(which.shape, bool))).all()
        assert (trainer.weights(state)[f"{which.name}.weight"] != 0).sum() <= count
    assert np.isfinite(report.loss)


def test_global_snip_ranks_all_layers_together(trainer):
    job = task(scripted)
    state = begin(trainer, job, snip_global, 0.8)
    weights = trainer.weights(state)
    state, _ = update(trainer, job, state, snip_global, FIRST, 0.8)
    saliency = np.concatenate([np.abs(weights[f"{w.name}.weight"] * script(w)).ravel() for w in job.layers])
    count = sum(oracle.active(w.size, 0.8) for w in job.layers)
    assert (flat(trainer.masks(state)) == oracle.top(saliency, count, np.ones(saliency.size, bool))).all()


def test_snip_trains_nothing_with_its_batch(trainer):
    job = task(gated, 12)
    state = begin(trainer, job, snip, 0.5)
    before = trainer.weights(state)
    state, _ = update(trainer, job, state, snip, FIRST, 0.5)
    masks, after = trainer.masks(state), trainer.weights(state)
    for name, value in after.items():
        mask = masks.get(name.removesuffix(".weight"), True) if name.endswith("weight") else True
        assert (value == np.where(mask, before[name], 0)).all()


# ---- SNFS -----------------------------------------------------------------------------------------------------


def test_snfs_grows_where_the_mean_of_dense_gradients_is_largest(trainer):
    """The net's gradients are `script` times one number at every step, and so is their mean."""
    job, fraction = task(scripted), 0.5
    state = begin(trainer, job, snfs, 0.7)
    state, _ = trainer.train(state, snfs, job.feed(0), 0, 4)
    weights, before = trainer.weights(state), trainer.masks(state)
    state, _ = update(trainer, job, state, snfs, Event(3, fraction), 0.7)
    for which in job.layers:
        counts = oracle.counts(which.size, 0.7, before[which.name].sum(), fraction)
        scores = np.abs(weights[f"{which.name}.weight"]), np.abs(script(which))
        assert (trainer.masks(state)[which.name] == oracle.update(*scores, before[which.name], *counts)).all()


def test_observing_changes_no_step(trainer):
    job = task(conv, 12)
    ends = []
    for method in (set_, snfs):
        state = begin(trainer, job, method, 0.5)
        state, tally = trainer.train(state, method, job.feed(0), 0, 6)
        ends.append((tally.losses, trainer.weights(state)))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-6)
    for name, value in ends[0][1].items():
        np.testing.assert_allclose(value, ends[1][1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [snfs, snfs_redistributed], ids=lambda method: method.name)
def test_what_was_observed_survives_a_snapshot(trainer, method):
    job, method = task(conv, 12), short(method)
    *_, (_, _, end) = walk(trainer, job, method, 0.6)
    _, _, state = next(islice(walk(trainer, job, method, 0.6), 5, None))
    back = trainer.restore(job, trainer.snapshot(state))
    *_, (_, _, again) = walk(trainer, job, method, 0.6, state=back, start=6)
    assert bits(trainer.snapshot(again)) == bits(trainer.snapshot(end))


def test_redistribution_moves_connections_and_keeps_their_number(trainer):
    job = task(conv, 12)
    counts = []
    for event, _, state in walk(trainer, job, short(snfs_redistributed), 0.7):
        if event:
            counts.append(active(trainer, state))
    assert {sum(found.values()) for found in counts} == {sum(oracle.active(w.size, 0.7) for w in job.layers)}
    assert len({tuple(found.values()) for found in counts}) > 1
    assert all(found[w.name] <= w.size for found in counts for w in job.layers)


# ---- pruning --------------------------------------------------------------------------------------------------


def test_global_pruning_keeps_the_largest_of_all(trainer):
    job, method = task(gated, 12), short(pruning_global)
    before = None
    for event, _, state in walk(trainer, job, method, 0.8):
        masks = trainer.masks(state)
        if event:
            count = sum(oracle.active(w.size, event.sparsity_share * 0.8) for w in job.layers)
            assert flat(masks).sum() == count
            assert before is None or not (flat(masks) & ~before).any()
            before = flat(masks)
    assert count == sum(oracle.active(w.size, 0.8) for w in job.layers)


@everywhere
def test_ranking_together_is_the_oracles_everywhere(call):
    layers = (layer((9, 5), "a"), layer((12, 16), "b"))
    generator = np.random.default_rng(0)
    weights = [generator.integers(-3, 3, w.shape).astype(np.float32) for w in layers]

    def masks(xp, *arrays):
        signals = [Signals(array, None, array == array, None) for array in arrays]
        held, _ = ranked(xp, pruning_global, layers, signals, [Counts(10, 0), Counts(37, 0)])
        parts = zip(layers, signals, held, strict=True)
        return [keep(xp, pruning_global, which, own, Counts(count, 0))[0] for which, own, count in parts]

    kept = call(masks, (), *weights)
    found = np.concatenate([np.asarray(mask).ravel() for mask in kept])
    scores = np.abs(np.concatenate([w.ravel() for w in weights]))
    assert (found == oracle.top(scores, 47, np.ones(scores.size, bool))).all()


# ---- the two ways to update -----------------------------------------------------------------------------------


METHODS = [
    snip, snip_global, snfs, snfs_redistributed, pruning_global, replace(set_, grown_value="random"),
    rigl_2_4, srigl, granet_global,
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.name}-{method.grown_value}")
def test_the_code_for_accelerators_does_as_the_hosts(backend, trainer, method, monkeypatch):
    job, fitted = task(gated, 12), short(method)
    *_, (_, _, state) = walk(trainer, job, fitted, 0.7)
    host = bits(trainer.masks(state)), trainer.weights(state)
    if backend.name == "torch":
        from sparsebench_torch import rewiring

        monkeypatch.setattr(rewiring, "on_host", rewiring.on_device)
        other = trainer
    else:
        from sparsebench_jax import rewiring

        other = type(trainer)("cpu")
        other._rewire = rewiring.on_device
    *_, (_, _, state) = walk(other, job, fitted, 0.7)
    assert bits(other.masks(state)) == host[0]
    for name, value in other.weights(state).items():
        np.testing.assert_allclose(value, host[1][name], rtol=1e-6, atol=1e-7)


def test_grown_connections_start_at_the_declared_value(trainer):
    job, method = task(gated, 12), replace(set_, grown_value="random")
    state = begin(trainer, job, method, 0.7, seed=3)
    state, _ = trainer.train(state, method, job.feed(3), 0, 6)
    before = trainer.masks(state)
    state, _ = update(trainer, job, state, method, Event(5, 0.5), 0.7, seed=3)
    for which in job.layers:
        grown = trainer.masks(state)[which.name] & ~before[which.name]
        drawn = oracle.noise_array(3, 5, which.name, "value", which.shape)
        bound = (which.shape[0] / which.size) ** 0.5
        np.testing.assert_allclose(
            trainer.weights(state)[f"{which.name}.weight"][grown], ((2 * drawn - 1) * bound)[grown], rtol=1e-6
        )


# ---- sharing out ----------------------------------------------------------------------------------------------


@given(
    rooms=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    weights=st.lists(st.floats(0, 1e3), min_size=6, max_size=6),
    share=st.floats(0, 1),
)
def test_growth_is_shared_out_whole_and_within_every_room(rooms, weights, share):
    total = int(share * sum(rooms))
    counts = shared_out(total, weights[: len(rooms)], rooms)
    assert sum(counts) == total
    assert all(0 <= count <= room for count, room in zip(counts, rooms, strict=True))


def test_growth_is_in_proportion_where_there_is_room():
    assert shared_out(10, [1.0, 4.0], [100, 100]) == [2, 8]
    assert shared_out(10, [1.0, 4.0], [100, 3]) == [7, 3]
    assert shared_out(10, [0.0, 0.0], [30, 10]) == [8, 2]
    assert shared_out(10, [0.0, 1.0], [30, 4]) == [6, 4]


def test_the_mean_is_over_what_is_kept():
    aux, mask = np.array([[1.0, -3.0, 9.0]]), np.array([[True, True, False]])
    assert mean_aux(np, layer((1, 3)), Signals(aux, None, mask, None, aux=aux)) == 2
    assert mean_aux(np, layer((1, 3)), Signals(aux, None, mask & False, None, aux=aux)) == 0


def test_a_redistributing_budget_starts_from_where_layers_are():
    entries = layer((10, 10), "fc")
    counts = budget(snfs_redistributed, [entries], {"fc": 0.5}, {"fc": 60}, Event(5, 0.5))
    assert (counts["fc"].kept, counts["fc"].grown) == (30, 30)
    assert allotted(snfs_redistributed, [entries], counts, {"fc": 0.0}) == {"fc": 30}


# ---- gradients of active connections --------------------------------------------------------------------------


def below_the_largest(xp, layer, signals):
    """|g|, but 0 for the largest of all: a gradient of an inactive connection would show."""
    slope = xp.abs(signals.gradient)
    return slope * (slope < xp.max(slope))


def test_a_method_of_active_gradients_is_shown_no_others(trainer):
    job, fraction = task(scripted), 0.5
    method = replace(set_, drop=below_the_largest, needs_gradient=True, active_gradient=True)
    state = begin(trainer, job, method, 0.7)
    before = trainer.masks(state)
    state, _ = update(trainer, job, state, method, Event(3, fraction, replaces_step=True), 0.7)
    for which in job.layers:
        slope = np.abs(np.where(before[which.name], script(which), 0))
        drop = slope * (slope < slope.max())
        grow = oracle.noise_array(0, 3, which.name, "grow", which.shape)
        counts = oracle.counts(which.size, 0.7, before[which.name].sum(), fraction)
        wanted = oracle.update(drop, grow, before[which.name], *counts)
        assert (trainer.masks(state)[which.name] == wanted).all()


def test_growth_by_a_gradient_that_is_not_paid_for_fails(trainer):
    job = task(gated)
    method = replace(rigl, active_gradient=True)
    state = begin(trainer, job, method, 0.5)
    with pytest.raises(TypeError):
        update(trainer, job, state, method, Event(3, 0.5, replaces_step=True), 0.5)
