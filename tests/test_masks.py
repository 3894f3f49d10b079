"""Mask updates: counts and masks are the oracle's to the bit, on the host in any memory order and on devices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparsebench import noise
from sparsebench.conformance import oracle
from sparsebench.masks import Change, Counts, budget, host_noise, plan, rewire
from sparsebench.method import Event, Method, Signals, gradient_magnitude, magnitude
from sparsebench.methods.dense import dense
from sparsebench.methods.pruning import pruning
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.static import static
from sparsebench.places import true_places
from sparsebench.rewiring import rewire_layers, rewire_on_host
from strategies import (
    compiled_shapes,
    events,
    fractions,
    in_jax,
    in_numpy,
    in_torch,
    laid_out,
    layer,
    layouts,
    masks,
    mostly_zero,
    on_devices,
    scores,
    seeds,
    shapes,
    sparsities,
    tables,
)

METHODS = (dense, static, set_, rigl, pruning)

THIRD_PARTY = {
    "whole": replace(rigl, drop=magnitude.score, grow=gradient_magnitude.score),
    "own selection": replace(rigl, select=lambda xp, score, count, among: oracle.top(score, count, among)),
}
"""RigL, but for what it promises or how it selects."""

each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


# ---- places ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 3000), st.floats(0, 0.3), seeds)
def test_true_places_are_numpys(size, share, seed):
    mask = np.random.default_rng(seed).random(size) < share
    assert_array_equal(true_places(mask), np.flatnonzero(mask))


# ---- counts ---------------------------------------------------------------------------------------------------


sizes = st.integers(0, 10**7).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size)))


@given(sizes, sparsities, fractions, st.floats(0, 3))
def test_growth_beyond_the_plan_goes_at_the_next_update(sizes, sparsity, drop_fraction, beyond):
    size, now = sizes
    planned = oracle.active(size, sparsity)
    entries, event = layer((size,)), Event(0, drop_fraction, overgrowth=beyond)
    (over,) = budget(static, [entries], {"fc": sparsity}, {"fc": now}, event).values()
    assert over.active == min(planned + int(beyond * planned), size)
    (back,) = budget(static, [entries], {"fc": sparsity}, {"fc": over.active}, Event(1)).values()
    assert back == Counts(planned, 0)


@given(sizes, sparsities, fractions, fractions)
def test_plan_is_the_oracles(sizes, sparsity, share, drop_fraction):
    size, now = sizes
    counts = plan(oracle.active(size, share * sparsity), now, drop_fraction)
    assert (counts.kept, counts.grown) == oracle.counts(size, share * sparsity, now, drop_fraction)
    assert 0 <= counts.kept <= now
    assert 0 <= counts.grown <= size - counts.kept
    assert counts.active == oracle.active(size, share * sparsity)


@given(st.integers(0, 10**7), sparsities, fractions)
def test_at_constant_sparsity_as_many_grow_as_are_dropped(size, sparsity, drop_fraction):
    now = oracle.active(size, sparsity)
    moved = int(drop_fraction * now)
    assert plan(now, now, drop_fraction) == Counts(now - moved, moved)


@pytest.mark.parametrize(
    ("size", "sparsity", "share", "now", "drop_fraction", "expected"),
    [
        (100, 0.9, 1.0, 10, 0.3, Counts(7, 3)),
        (100, 0.9, 1.0, 10, 0.39, Counts(7, 3)),  # truncated: 3.9 is 3
        (100, 0.9, 1.0, 10, 0.0, Counts(10, 0)),
        (100, 0.9, 0.5, 100, 0.0, Counts(55, 0)),  # pruning on its way
        (100, 0.9, 0.5, 100, 0.3, Counts(39, 16)),  # pruned to 55, and of those 16.5, truncated, dropped and grown
        (1, 0.999, 1.0, 1, 0.3, Counts(1, 0)),
        (1, 0.999, 1.0, 1, 1.0, Counts(0, 1)),
        (0, 0.5, 1.0, 0, 0.3, Counts(0, 0)),
    ],
)
def test_plan_by_hand(size, sparsity, share, now, drop_fraction, expected):
    assert plan(oracle.active(size, share * sparsity), now, drop_fraction) == expected


@given(tables(), st.data(), events)
def test_a_budget_is_a_plan_for_each_layer(table, data, event):
    shares = {entries.name: data.draw(sparsities) for entries in table}
    now = {entries.name: data.draw(st.integers(0, entries.size)) for entries in table}
    found = budget(static, table, shares, now, event)
    assert list(found) == [entries.name for entries in table]
    for entries in table:
        share = event.sparsity_share * shares[entries.name]
        expected = oracle.counts(entries.size, share, now[entries.name], event.drop_fraction)
        assert found[entries.name] == Counts(*expected)


# ---- updates --------------------------------------------------------------------------------------------------


@st.composite
def problems(draw, shapes):
    """(layer, weight, gradient, mask, (seed, iteration), counts): any counts that the mask allows."""
    entries = layer(draw(shapes), draw(st.sampled_from(["fc1", "layer1.0.conv1"])))
    mask = draw(masks(entries.shape))
    weight, gradient = draw(scores(entries.shape)), draw(scores(entries.shape))
    if draw(st.booleans()):
        weight = np.where(mask, weight, np.float32(0))
    if draw(st.booleans()):
        weight = _as_bfloat16(weight)
    now = int(mask.sum())
    kept = draw(st.sampled_from([0, now]) | st.integers(0, now))
    room = entries.size - kept
    grown = draw(st.sampled_from([0, room, min(now - kept, room)]) | st.integers(0, room))
    return entries, weight, gradient, mask, (draw(seeds), draw(st.integers(0, 10**6))), Counts(kept, grown)


def _as_bfloat16(values):
    """Cut to the upper 16 bits: what bfloat16 weights look like as float32, with many ties."""
    return (values.view(np.int32) & ~0xFFFF).view(np.float32)


def rearranged(problem, data):
    """The same with each array in a memory order of its own."""
    entries, *arrays, keyed, counts = problem
    return entries, *(laid_out(array, data.draw(layouts)) for array in arrays), keyed, counts


def expected_mask(method, problem):
    entries, weight, gradient, mask, keyed, counts = problem
    drawn = oracle.noise_array(*keyed, entries.name, "grow", entries.shape)
    grow = np.abs(gradient) if method.name == "rigl" else drawn
    return oracle.update(np.abs(weight), grow, mask, counts.kept, counts.grown)


def on_arrays(xp, maths, entries, weight, gradient, mask, key, kept, grown):
    def drawn(purpose):
        return noise.uniform(xp, noise.stream(key, purpose), entries.shape)

    return rewire(xp, maths, entries, Signals(weight, gradient, mask, drawn), kept, grown)


def updated(call, method, problem):
    """(new mask, are all scores finite) by `rewire`; methods with the same maths share one compilation."""
    entries, weight, gradient, mask, keyed, counts = problem
    maths = Method("maths", "", drop=method.drop, grow=method.grow, select=method.select)
    key = noise.key(*keyed, entries.name)
    new, finite = call(on_arrays, (maths, entries), weight, gradient, mask, key, counts.kept, counts.grown)
    return np.asarray(new), bool(finite)


def updated_on_host(method, problem):
    entries, weight, gradient, mask, keyed, counts = problem
    if not method.needs_gradient:
        gradient = None
    signals = Signals(weight, gradient, mask, host_noise(entries, noise.key(*keyed, entries.name)))
    return rewire_on_host(method, entries, signals, counts)


@each_method
@pytest.mark.parametrize("call", [in_numpy, in_torch])
@settings(max_examples=40)
@given(problem=problems(shapes))
def test_rewiring_is_the_oracles(call, method, problem):
    new, finite = updated(call, method, problem)
    assert finite
    assert_array_equal(new, expected_mask(method, problem))


@each_method
@settings(max_examples=60)
@given(problem=problems(compiled_shapes))
def test_compiled_rewiring_is_the_oracles(method, problem):
    new, finite = updated(in_jax, method, problem)
    assert finite
    assert_array_equal(new, expected_mask(method, problem))


@each_method
@given(problem=problems(shapes), data=st.data())
def test_rewiring_on_the_host_is_the_oracles_in_any_memory_order(method, problem, data):
    found, old, new = updated_on_host(method, rearranged(problem, data)), problem[3], expected_mask(method, problem)
    assert_array_equal(found.mask, new)
    assert (found.active, found.grown.size, found.dropped.size) == (new.sum(), (new & ~old).sum(), (old & ~new).sum())
    assert found.change == Change(found.active, found.grown.size, found.dropped.size)


@each_method
@pytest.mark.parametrize("layout", ["canonical", "flax"])
@pytest.mark.parametrize("shape", [(512, 600), (64, 128, 6, 6)])
def test_large_layers_on_the_host(method, layout, shape):
    """Several blocks, and 90 % of all gradients exactly zero."""
    entries, generator = layer(shape, "large"), np.random.default_rng(0)
    mask = laid_out(generator.random(shape) < 0.2, layout)
    weight = laid_out(generator.integers(-99, 99, shape).astype(np.float32) * mask, layout)
    now = int(mask.sum())
    counts = Counts(now - now // 3, now // 3)
    problem = entries, weight, laid_out(mostly_zero(shape, 3), layout), mask, (7, 100), counts
    grow = noise.uniform(np, noise.stream(noise.key(7, 100, "large"), "grow"), shape)
    grow = np.abs(problem[2]) if method.name == "rigl" else grow
    found, new = updated_on_host(method, problem), oracle.update(np.abs(weight), grow, mask, counts.kept, counts.grown)
    assert_array_equal(found.mask, new)
    for places, differs in ((found.dropped, mask & ~new), (found.grown, new & ~mask)):
        assert_array_equal(places, np.flatnonzero(laid_out(differs, layout).ravel("K")))


@on_devices
def test_bfloat16_weights_score_as_float32(call):
    """Widened, not compared in bfloat16: what the backends hand to `rewire`."""

    def widened(xp, weight, gradient, mask, kept, grown):
        weight = xp.astype(xp.astype(weight, xp.bfloat16), xp.float32)
        return rewire(xp, rigl, layer((12, 16)), Signals(weight, gradient, mask, None), kept, grown)

    generator = np.random.default_rng(5)
    weight = _as_bfloat16(generator.standard_normal((12, 16), np.float32))
    gradient, mask = mostly_zero((12, 16), 6), generator.random((12, 16)) < 0.5
    new, _ = call(widened, (), weight, gradient, mask, 60, 30)
    assert_array_equal(new, oracle.update(np.abs(weight), np.abs(gradient), mask, 60, 30))


def test_just_dropped_entries_may_come_back_and_kept_ones_are_not_counted_twice():
    entries = layer((5,))
    weight, gradient = np.array([3, 1, 2, 0, 0], np.float32), np.array([9, 8, 0, 7, 1], np.float32)
    mask = np.array([True, True, True, False, False])
    for call in (in_numpy, in_torch):
        new, _ = updated(call, rigl, (entries, weight, gradient, mask, (0, 0), Counts(1, 2)))
        assert new.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("method", THIRD_PARTY.values(), ids=THIRD_PARTY)
@given(problem=problems(shapes), data=st.data())
def test_scores_of_whole_layers_and_other_selections_give_the_same(method, problem, data):
    """The host's short cuts are for local scores and `top`; what does not promise them takes the long way."""
    found = updated_on_host(method, rearranged(problem, data))
    assert_array_equal(found.mask, expected_mask(rigl, problem))


@given(st.lists(problems(shapes), max_size=5))
def test_layers_side_by_side_are_layers_one_by_one(found):
    layers, counts = [], {}
    for i, (entries, weight, gradient, mask, keyed, budgeted) in enumerate(found):
        entries = replace(entries, name=f"layer{i}")
        key = noise.key(*keyed, entries.name)
        layers.append((entries, Signals(weight, gradient, mask, host_noise(entries, key))))
        counts[entries.name] = budgeted
    together = rewire_layers(rigl, layers, counts)
    for (entries, signals), rewired in zip(layers, together, strict=True):
        assert_array_equal(rewired.mask, rewire_on_host(rigl, entries, signals, counts[entries.name]).mask)
