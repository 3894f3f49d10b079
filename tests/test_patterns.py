"""Patterns: the greedy choice within the room of every group, everywhere to the bit, valid from any start."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparsebench.conformance import oracle
from sparsebench.masks import Counts, chosen, first_masks, planned, rewire
from sparsebench.method import Method, Signals, all_layers, gradient_magnitude, magnitude
from sparsebench.methods.rigl import rigl
from sparsebench.methods.rigl_nm import rigl_2_4
from sparsebench.methods.srigl import srigl, srigl_unablated
from sparsebench.patterns import NM, FanIn
from sparsebench.rewiring import rewire_on_host
from strategies import in_jax, in_numpy, in_torch, laid_out, layer, layouts, masks, scores

SHAPES = [(9, 5), (12, 16), (3, 1), (5, 3, 3, 2), (8, 4, 1, 1), (4, 10, 2, 1), (6, 1, 3, 3), (1, 7)]
"""Inputs that M divides, and not; fewer than M; depthwise; one output."""
EMPTY = [(6, 0), (0, 4), (4, 0, 3, 3)]
COMPILED = [(5, 10), (3, 6, 2, 2)]
"""Few, because JAX compiles once for each."""
PATTERNS = {NM(2, 4): (2, 4), NM(1, 4): (1, 4), NM(1, 3): (1, 3), FanIn(): "rows"}
"""Each as the oracle knows it."""
each_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=str)


@st.composite
def problems(draw, shapes, pattern):
    """(layer, weight, gradient, mask, counts): any mask, of whatever pattern, and any counts that can be had."""
    entries = layer(draw(st.sampled_from(shapes)))
    mask = draw(masks(entries.shape))
    weight = np.where(mask, draw(scores(entries.shape)), np.float32(0))
    total = pattern.fitted(entries, draw(st.integers(0, entries.size)))
    kept = draw(st.integers(0, min(int(mask.sum()), total)))
    return entries, weight, draw(scores(entries.shape)), mask, Counts(kept, total - kept)


def expected(pattern, problem, room=None):
    entries, weight, gradient, mask, counts = problem
    known = PATTERNS.get(pattern, "rows")
    room = room or oracle.room_in(known, entries.shape, counts.active)
    scores = np.abs(weight), np.abs(gradient)
    return oracle.patterned_update(*scores, mask, counts.kept, counts.active, known, room)


def on_arrays(xp, method, entries, weight, gradient, mask, kept, grown):
    return rewire(xp, method, entries, Signals(weight, gradient, mask, None), kept, grown)


def updated(call, pattern, problem):
    entries, weight, gradient, mask, counts = problem
    method = Method("maths", "", drop=magnitude, grow=gradient_magnitude, pattern=pattern)
    new, finite = call(on_arrays, (method, entries), weight, gradient, mask, counts.kept, counts.grown)
    assert finite
    return np.asarray(new)


def check(pattern, problem, new):
    entries, *_, counts = problem
    assert new.sum() == counts.active
    assert pattern.holds(entries, new)
    assert_array_equal(new, expected(pattern, problem))


# ---- the choice -----------------------------------------------------------------------------------------------


@each_pattern
@pytest.mark.parametrize("call", [in_numpy, in_torch])
@settings(max_examples=40)
@given(data=st.data())
def test_updates_are_the_oracles_and_follow_the_pattern_from_any_start(call, pattern, data):
    problem = data.draw(problems(SHAPES, pattern))
    check(pattern, problem, updated(call, pattern, problem))


@pytest.mark.parametrize("pattern", [NM(2, 4), FanIn()], ids=str)
@settings(max_examples=30)
@given(data=st.data())
def test_compiled_updates_are_the_oracles(pattern, data):
    problem = data.draw(problems(COMPILED, pattern))
    check(pattern, problem, updated(in_jax, pattern, problem))


@each_pattern
@settings(max_examples=40)
@given(data=st.data())
def test_updates_on_the_host_are_the_oracles_in_any_memory_order(pattern, data):
    problem = data.draw(problems(SHAPES, pattern))
    entries, weight, gradient, mask, counts = problem
    arrays = (laid_out(array, data.draw(layouts)) for array in (weight, gradient, mask))
    found = rewire_on_host(replace(rigl, pattern=pattern), entries, Signals(*arrays, None), counts)
    check(pattern, problem, found.mask)
    assert (found.active, found.grown.size, found.dropped.size) == (
        found.mask.sum(), (found.mask & ~mask).sum(), (mask & ~found.mask).sum(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "gamma"), [*((call, gamma) for call in (in_numpy, in_torch) for gamma in (0.05, 1.0, 2.5)), (in_jax, 0.3)]
)
@settings(max_examples=25)
@given(data=st.data())
def test_ablation_is_the_oracles(call, gamma, data):
    """From any start; some outputs have k or more, the others nothing."""
    pattern = FanIn(gamma)
    problem = data.draw(problems(COMPILED if call is in_jax else SHAPES, pattern))
    entries, weight, gradient, mask, counts = problem
    scores = np.abs(weight), np.abs(gradient)
    room = oracle.ablated_room(*scores, mask, counts.kept, counts.grown, Fraction(str(gamma)))
    new = updated(call, pattern, problem)
    assert_array_equal(new, expected(pattern, problem, room))
    assert pattern.holds(entries, new)
    assert sorted(row.sum() for row in new) == sorted(room.values())
    assert counts.active - len(new) < new.sum() <= counts.active


@pytest.mark.parametrize("pattern", [*PATTERNS, FanIn(0.3)], ids=str)
@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("call", [in_numpy, in_torch, in_jax])
def test_layers_without_entries(call, shape, pattern):
    nothing = np.zeros(shape, np.float32)
    assert updated(call, pattern, (layer(shape), nothing, nothing, nothing > 0, Counts(0, 0))).shape == shape
    assert pattern.fitted(layer(shape), 0) == 0


def test_torch_never_asks_for_a_value():
    """On the meta device there is none: whatever synchronises with an accelerator fails there."""
    xp = pytest.importorskip("array_api_compat.torch")
    score = xp.empty((5, 6, 3, 3), dtype=xp.float32, device="meta")
    for method in (rigl_2_4, srigl, srigl_unablated):
        new, _ = rewire(xp, method, layer((5, 6, 3, 3)), Signals(score, score, score > 0, None), 60, 30)
        assert (new.shape, new.dtype) == ((5, 6, 3, 3), xp.bool)


# ---- groups ---------------------------------------------------------------------------------------------------


def test_groups_of_a_kernel_are_consecutive_inputs_at_one_position():
    """As for NVIDIA's ASP and for the published N:M code: (out, height, width, in), then groups of 4."""
    entries = layer((2, 8, 3, 3))
    numbered = np.arange(entries.size).reshape(entries.shape)
    groups = NM(2, 4).grouped(np, entries, numbered)
    assert_array_equal(groups, numbered.transpose(0, 2, 3, 1).reshape(-1, 4))
    assert groups[0].tolist() == [numbered[0, i, 0, 0] for i in range(4)]
    assert_array_equal(NM(2, 4).joined(np, entries, groups), numbered)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_grouping_is_undone(pattern, shape):
    entries, array = layer(shape), np.arange(math.prod(shape)).reshape(shape) + 1
    groups = pattern.grouped(np, entries, array)
    assert sorted(groups[groups > 0].tolist()) == sorted(array.ravel().tolist())
    assert_array_equal(pattern.joined(np, entries, groups), array)


def test_a_group_that_is_left_over_is_as_if_padded_with_zeros():
    """Five inputs: four of which two, and one by itself."""
    entries, everywhere = layer((3, 5)), np.ones((3, 5), bool)
    assert NM(2, 4).capacity(entries) == 9
    assert NM(2, 4).fitted(entries, 14) == 9
    assert NM(2, 4).fitted(entries, 15) == 15, "a dense layer is outside of the pattern"
    descending = -np.arange(15, dtype=np.float32).reshape(3, 5)
    mask = chosen(rigl_2_4, entries, descending, 9)
    assert mask.tolist() == 3 * [[True, True, False, False, True]]
    assert NM(2, 4).holds(entries, mask)
    assert NM(2, 4).holds(entries, everywhere)
    assert not NM(2, 4).holds(entries, mask | (np.arange(15).reshape(3, 5) == 2))


@given(st.sampled_from(SHAPES), st.floats(0.5, 1, exclude_max=True))
def test_two_of_four_hold_half_of_every_layer(shape, sparsity):
    entries = layer(shape)
    assert planned(rigl_2_4, entries, sparsity) == oracle.active(entries.size, sparsity)


@given(st.sampled_from(SHAPES), st.floats(0, 1, exclude_max=True))
def test_fan_ins_are_whole_and_no_more_than_planned(shape, sparsity):
    entries = layer(shape)
    count, wanted = planned(srigl, entries, sparsity), oracle.active(entries.size, sparsity)
    assert count % shape[0] == 0
    assert wanted - shape[0] < count <= max(wanted, shape[0])


def test_where_ablation_is_off():
    """In the classifier, in a dense layer, and in a first mask."""
    counts = np.zeros((4, 6), bool)
    for entries, active, salient in (
        (replace(layer((4, 6)), role="classifier"), 8, lambda: counts),
        (layer((4, 6)), 24, lambda: counts),
        (layer((4, 6)), 8, None),
    ):
        rooms = np.broadcast_to(FanIn(1.0).rooms(np, entries, active, salient), (4, 1))
        assert rooms.tolist() == 4 * [[active // 4]]


# ---- starts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [rigl_2_4, srigl, srigl_unablated], ids=lambda method: method.name)
@pytest.mark.parametrize("shape", SHAPES)
@given(sparsity=st.floats(0.5, 0.99), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=10)
def test_first_masks_are_random_within_the_pattern(method, shape, sparsity, seed):
    entries, weights = layer(shape), {"fc.weight": np.zeros(shape, np.float32)}
    (mask,) = first_masks(method, [entries], {"fc": sparsity}, weights, seed).values()
    drawn = oracle.noise_array(seed, 0, "fc", "start", shape)
    count, known = planned(method, entries, sparsity), PATTERNS.get(method.pattern, "rows")
    room, everywhere = oracle.room_in(known, shape, count), np.ones(shape, bool)
    assert_array_equal(mask, oracle.greedy(drawn, everywhere, ~everywhere, room, count, known))
    assert method.pattern.holds(entries, mask)


def test_a_pattern_is_for_layers_that_keep_their_own_count():
    with pytest.raises(ValueError, match="moves connections between layers"):
        replace(rigl_2_4, rank=all_layers)
