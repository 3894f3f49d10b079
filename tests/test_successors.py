"""The successors: their schedules, their laws on every backend, and what they cost."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebench import policy
from sparsebench.conformance import oracle
from sparsebench.explored import Explored
from sparsebench.formulas import FORMULAS, TIMINGS, Timing
from sparsebench.masks import Counts, budget, planned, settled
from sparsebench.method import LAWS, Event, Law, all_layers
from sparsebench.methods.acdc import acdc, acdc_global
from sparsebench.methods.granet import granet, granet_global
from sparsebench.methods.itop import rigl_itop, set_itop
from sparsebench.methods.rigl import rigl
from sparsebench.methods.rigl_nm import rigl_2_4
from sparsebench.methods.set import set_
from sparsebench.methods.srigl import srigl, srigl_unablated
from sparsebench.pricing import Terms, price
from sparsebench_models.resnet import resnet50
from strategies import layer
from tasks import begin, bits, conv, gated, script, scripted, short, task, trainer_on, update, walk

PATTERNED = (rigl_2_4, srigl_unablated, srigl)
PHASED = (granet, granet_global, acdc, acdc_global)
by_name = {"ids": lambda method: method.name}


@pytest.fixture(scope="module")
def trainer(backend):
    return trainer_on(backend.name)


def total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


# ---- what they are --------------------------------------------------------------------------------------------


def test_published_defaults():
    for method, delta_t, base in ((rigl_itop, 4000, rigl), (set_itop, 1500, set_)):
        same = {"name": base.name, "summary": base.summary, "source": base.source}
        assert replace(method, **same, delta_t=100, alpha=0.3, end=0.75) == base
        assert (method.delta_t, method.alpha, method.end) == (delta_t, 0.5, 1.0)
    assert (granet.delta_t, granet.alpha, granet.begin, granet.end) == (1000, 0.5, 0.0, 110 / 160)
    assert granet.initial_sparsity == 0.5
    assert (acdc.begin, acdc.end, acdc.initial_sparsity) == (0.1, 0.85, 0.0)
    assert srigl.pattern.salient == 0.3
    assert [each.rank for each in PHASED] == [granet.rank, all_layers, acdc.rank, all_layers]


def test_claims():
    """An ablated output's connections are shared out in whole numbers, so fewer than planned may be left."""
    for method in (rigl_2_4, srigl_unablated, rigl_itop, set_itop, *PHASED):
        assert method.claims == LAWS
    assert srigl.claims == LAWS - {Law.EXACT_COUNTS}
    assert [method.moves_counts for method in PATTERNED] == [False, False, True]


# ---- when they update -----------------------------------------------------------------------------------------


def test_acdc_has_the_published_phases():
    """Of 100 epochs: pruned at 10, 20 … 70 and at 85, restored at 15, 25 … 75 (IST-DASLab/ACDC, configs/neurips)."""
    found = replace(acdc, delta_t=5).events(100)
    assert [e.iteration for e in found if e.sparsity_share == 1] == [*range(10, 80, 10), 85]
    assert [e.iteration for e in found if e.sparsity_share == 0] == [*range(15, 85, 10)]
    assert not any(event.drop_fraction or event.replaces_step for event in found)


@given(st.integers(1, 400), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_acdc_alternates_and_ends_compressed(steps, delta_t, begin, end):
    method = replace(acdc, delta_t=delta_t, begin=begin, end=end)
    clock, shares = method.clock(steps), [event.sparsity_share for event in method.events(steps)]
    if clock.begin < clock.end < steps:
        assert shares == [float(k % 2 == 0) for k in range(len(shares))]
        assert shares[-1] == 1
        last_dense = max((e.iteration for e in method.events(steps) if e.sparsity_share == 0), default=clock.begin)
        assert clock.end - last_dense >= min(delta_t, clock.end - clock.begin)


@given(st.integers(10, 400), st.integers(1, 60), st.floats(0, 0.4), st.floats(0.5, 1))
def test_granet_prunes_along_a_cubic_and_regrows_until_the_end(steps, delta_t, begin, end):
    method = replace(granet, delta_t=delta_t, begin=begin, end=end)
    clock, found = method.clock(steps), method.events(steps)
    due = {i for i in range(0, steps, delta_t) if i >= max(delta_t, clock.begin)}
    assert [event.iteration for event in found] == sorted(due | {clock.end} - {steps})
    for event in found:
        progress = min(1, (event.iteration - clock.begin) / (clock.end - clock.begin))
        assert event.sparsity_share == pytest.approx(1 - (1 - progress) ** 3)
        assert event.drop_fraction == pytest.approx(oracle.cosine_fraction(0.5, event.iteration, steps))
        assert event.replaces_step


# ---- counts ---------------------------------------------------------------------------------------------------


def test_an_event_lies_between_the_first_plan_and_the_last():
    entries, event = [layer((10, 10), "a"), layer((20, 10), "b")], Event(5, 0.5, 0.5)
    counts = budget(granet, entries, {"a": 0.9, "b": 0.8}, {"a": 60, "b": 100}, event, {"a": 0.4, "b": 0.5})
    assert counts == {"a": Counts(18, 17), "b": Counts(35, 35)}  # to 35 and 70, of which half are exchanged
    assert event.between(0.4, 0.9) == pytest.approx(0.65)
    assert Event(5).between(0.5, 0.1 + 0.2) == 0.1 + 0.2, "to the last digit"


def test_layers_that_are_ranked_together_are_settled_by_what_each_is_left_with():
    entries, now = [layer((10, 10), "a"), layer((20, 10), "b")], {"a": 60, "b": 100}
    plan, first = {"a": 0.9, "b": 0.8}, {"a": 0.4, "b": 0.5}
    counts = budget(granet_global, entries, plan, now, Event(5, 0.3, 0.5), first)
    assert counts == {"a": Counts(35, 0, 0.3), "b": Counts(70, 0, 0.3)}
    assert settled(counts, {"a": 15, "b": 90}) == {"a": Counts(11, 4), "b": Counts(63, 27)}


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=5))
def test_decompressed_layers_are_full_wherever_pruning_left_them(found):
    entries = [layer((1, size), f"layer{k}") for k, (size, _) in enumerate(found)]
    now = {each.name: int(share * each.size) for each, (_, share) in zip(entries, found, strict=True)}
    plan = {each.name: 0.5 for each in entries}
    for method in (acdc, acdc_global):
        counts = budget(method, entries, plan, now, Event(5, sparsity_share=0.0))
        held = {name: (each.kept, each.active) for name, each in counts.items()}
        assert held == {each.name: (now[each.name], each.size) for each in entries}


@pytest.mark.parametrize("method", PHASED, **by_name)
def test_counts_are_those_of_the_schedule(trainer, method):
    """Exactly, layer by layer or in sum, after every iteration."""
    job, fitted = task(gated, 24), short(method, delta_t=2)
    first, share, shares = fitted.first(0.8), 0.0, set()
    for event, _, state in walk(trainer, job, fitted, 0.8):
        share = event.sparsity_share if event else share
        shares.add(share)
        wanted = {w.name: oracle.active(w.size, (1 - share) * first + share * 0.8) for w in job.layers}
        masks = trainer.masks(state)
        found = {name: int(mask.sum()) for name, mask in masks.items()}
        assert found == wanted if method.rank is not all_layers else total(masks) == sum(wanted.values())
    assert share == 1
    assert len(shares) > 1


# ---- patterns while training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [gated, conv], **by_name)
@pytest.mark.parametrize("method", PATTERNED, **by_name)
def test_masks_follow_the_pattern_after_every_iteration(trainer, method, model):
    """Layers whose inputs 4 divides, and not: 16, 12 and 1 of `gated`; 2, 6 and 8 of `conv`."""
    job, updates = task(model, 12), 0
    for event, _, state in walk(trainer, job, short(method, alpha=0.6), 0.6):
        masks, weights = trainer.masks(state), trainer.weights(state)
        updates += event is not None
        for which in job.layers:
            mask, count = masks[which.name], planned(method, which, 0.6)
            assert method.pattern.holds(which, mask)
            assert mask.sum() == count if method.pattern.exact else count - which.shape[0] < mask.sum() <= count
            assert not weights[f"{which.name}.weight"][~mask].any()
    assert updates > 2


@settings(max_examples=6)
@given(
    st.sampled_from(PATTERNED[:2]), st.floats(0.5, 0.9), st.floats(0, 1), st.integers(0, 2**63 - 1),
)  # fmt: skip
def test_equal_scores_give_the_oracles_masks_on_every_backend(trainer, method, sparsity, fraction, seed):
    job, known = task(scripted, 24, learning_rate=1e-60), (2, 4) if method is rigl_2_4 else "rows"
    state = begin(trainer, job, method, sparsity, seed)
    before, weights = trainer.masks(state), trainer.weights(state)
    state, _ = update(trainer, job, state, method, Event(3, fraction, replaces_step=True), sparsity, seed)
    for which in job.layers:
        old, scores = before[which.name], (np.abs(weights[f"{which.name}.weight"]), np.abs(script(which)))
        count = planned(method, which, sparsity)
        kept = count - int(fraction * count)
        room = oracle.room_in(known, which.shape, count)
        expected = oracle.patterned_update(*scores, old, kept, count, known, room)
        assert (trainer.masks(state)[which.name] == expected).all()


def test_srigl_ablates_outputs_and_gives_what_they_had_to_others(trainer):
    job, method = task(gated, 24), short(replace(srigl, pattern=replace(srigl.pattern, salient=0.9)), delta_t=2)
    *_, (_, _, state) = walk(trainer, job, method, 0.6)
    fan_ins = [row.sum() for row in trainer.masks(state)["fc1"]]
    k = 16 * 12 * 4 // 10 // 12
    assert 0 in fan_ins
    assert max(fan_ins) > k


@pytest.mark.parametrize("method", [rigl_2_4, srigl, granet, granet_global, acdc], **by_name)
def test_successors_continue_from_a_snapshot(trainer, method):
    job, fitted = task(conv, 12), short(method, delta_t=2)
    *_, (_, _, end) = walk(trainer, job, fitted, 0.6)
    _, _, state = next(islice(walk(trainer, job, fitted, 0.6), 6, None))
    back = trainer.restore(job, trainer.snapshot(state))
    *_, (_, _, again) = walk(trainer, job, fitted, 0.6, state=back, start=7)
    assert bits(trainer.snapshot(again)) == bits(trainer.snapshot(end))


# ---- cost -----------------------------------------------------------------------------------------------------


def test_the_published_phases_of_acdc_are_those_that_it_trains():
    timing = TIMINGS["acdc"]
    method = replace(acdc, delta_t=timing.delta_t)
    assert (method.clock(timing.steps).begin, method.clock(timing.steps).end) == (timing.begin, timing.end)
    share, compressed, before = 0.0, 0, 0
    for event in method.events(timing.steps):
        compressed += share * (event.iteration - before)
        share, before = event.sparsity_share, event.iteration
    compressed += timing.steps - before
    assert {step.sparsity: step.weight for step in FORMULAS["acdc"](timing)} == {
        0.0: 0.5, 1.0: compressed / timing.steps,
    }  # fmt: skip


def test_the_published_cost_of_granet_is_rigls_at_the_sparsity_of_each_period():
    layers = resnet50.layers(resnet50.input)
    last, first = (policy.plan(layers, "erk", s, resnet50.policy_under("erk")) for s in (0.9, 0.5))
    timing = TIMINGS["granet"]
    found = price(layers, last, Terms("granet", timing=timing), first).account
    events = [event for event in granet.events(timing.steps) if event.iteration % timing.delta_t == 0]
    shares = {0: 0.0} | {event.iteration: event.sparsity_share for event in events}
    costs = []
    for share in shares.values():
        sparse = sum(
            2 * which.macs * (1 - (1 - share) * first[which.name] - share * last[which.name]) for which in layers
        )
        costs.append(((3 * timing.delta_t + 2) * sparse + dense_forward(layers)) / (timing.delta_t + 1))
    assert found.training == pytest.approx(sum(costs) / len(costs), rel=1e-9)


def dense_forward(layers):
    return sum(2 * which.macs for which in layers)


def test_itop_costs_what_rigl_does_at_its_own_interval():
    assert FORMULAS["rigl-itop"](TIMINGS["rigl-itop"]) == FORMULAS["rigl"](Timing(delta_t=4000))
    assert FORMULAS["set-itop"] is FORMULAS["set"]


# ---- R_s ------------------------------------------------------------------------------------------------------


def test_what_was_ever_active_is_explored():
    union, first = Explored(), np.array([[True, False, False, False]])
    assert union.rate() == 1
    union.see({"fc": first})
    assert union.rate() == 0.25
    for column in (2, 0):
        union.see({"fc": np.arange(4)[None] == column})
    assert union.rate() == 0.5
    assert first.tolist() == [[True, False, False, False]], "what was given is left alone"
