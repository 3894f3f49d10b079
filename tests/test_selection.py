"""Exact top-k: the oracle's mask to the bit, in every namespace, for scores that are hard to order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparsebench import selection
from sparsebench.conformance import oracle
from strategies import (
    compiled_shapes,
    everywhere,
    in_jax,
    in_numpy,
    in_torch,
    laid_out,
    layouts,
    masks,
    mostly_zero,
    on_devices,
    scores,
    shapes,
)

LARGE = 1 << 18  # beyond any sample that a host takes, and a multiple of many strides
KINDS = (
    "normal", "magnitudes", "mostly zero", "all equal", "two values", "few values", "subnormal",
    "high where sampled", "low where sampled", "high at first", "high at last",
)  # fmt: skip


@st.composite
def problems(draw, shapes):
    """(score, count, among), with the score and the candidates in any memory order."""
    shape = draw(shapes)
    among = draw(masks(shape))
    eligible = int(among.sum())
    count = draw(st.sampled_from([0, eligible]) | st.integers(0, eligible))
    return laid_out(draw(scores(shape)), draw(layouts)), count, laid_out(among, draw(layouts))


def check(call, score, count, among):
    chosen = np.asarray(call(selection.top, (), score, count, among))
    assert chosen.dtype == np.bool_
    assert chosen.sum() == count
    assert_array_equal(chosen, oracle.top(score, count, among))


@pytest.mark.parametrize("call", [in_numpy, in_torch])
@given(problem=problems(shapes))
def test_top_is_the_oracles(call, problem):
    check(call, *problem)


@given(problem=problems(compiled_shapes))
def test_compiled_top_is_the_oracles(problem):
    check(in_jax, *problem)


# ---- examples -------------------------------------------------------------------------------------------------


@everywhere
def test_ties_go_to_the_lowest_canonical_index_in_any_memory_order(call):
    score, among = np.zeros((3, 4), np.float32), np.ones((3, 4), bool)
    among[0, 1] = False
    expected = np.zeros((3, 4), bool)
    expected[0, [0, 2, 3]] = expected[1, 0] = True
    for layout in ("canonical", "flax"):
        assert_array_equal(call(selection.top, (), laid_out(score, layout), 4, laid_out(among, layout)), expected)


@everywhere
def test_what_is_below_the_smallest_normal_number_ranks_as_zero(call):
    tiny, normal = np.float32(2.0**-149), np.float32(2.0**-126)
    score = np.array([-normal, tiny - normal, -tiny, 0, -0.0, tiny, normal - tiny, normal], np.float32)
    for count, expected in ((1, [7]), (2, [1, 7]), (4, [1, 2, 3, 7]), (7, [1, 2, 3, 4, 5, 6, 7])):
        for turned in (score, np.concatenate([score[:1], score[6:0:-1], score[7:]])):
            assert np.flatnonzero(call(selection.top, (), turned, count, np.ones(8, bool))).tolist() == expected


@everywhere
def test_negative_scores_are_ordered_too(call):
    score = np.array([-3, -1, -2, -np.float32(3.4e38), 5], np.float32)
    for count, expected in ((1, [4]), (2, [1, 4]), (3, [1, 2, 4]), (4, [0, 1, 2, 4])):
        assert np.flatnonzero(call(selection.top, (), score, count, np.ones(5, bool))).tolist() == expected


# ---- large arrays ---------------------------------------------------------------------------------------------


def values(kind, size, seed=0):
    """Float32 scores of a kind; "where sampled" is every fourth entry, which is all that a regular sample meets."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal(size, np.float32)
    regular = np.arange(size) % 4 == 0
    match kind:
        case "normal":
            return normal
        case "magnitudes":
            return np.abs(normal)
        case "mostly zero":
            return np.abs(mostly_zero(size, seed))
        case "all equal":
            return np.full(size, 0.25, np.float32)
        case "two values":
            return (normal > 2).astype(np.float32)
        case "few values":
            return generator.integers(-3, 4, size).astype(np.float32)
        case "subnormal":
            return generator.integers(-(2**25), 2**25, size).astype(np.float32) * np.float32(2.0**-149)
        case "high where sampled":
            return np.abs(normal) + np.float32(100) * regular
        case "low where sampled":
            return np.abs(normal) + np.float32(100) * ~regular
        case "high at first":
            return np.sort(normal)[::-1].copy()
    return np.sort(normal)


def check_counts(call, score, counts, among):
    best = oracle.ranked(score, among)
    for count in counts:
        chosen = np.flatnonzero(call(selection.top, (), score, count, among))
        assert_array_equal(chosen, np.sort(best[:count]), err_msg=f"count {count}")


@pytest.mark.parametrize("kind", KINDS)
def test_large_arrays_on_the_host(kind):
    counts = (0, 1, LARGE // 100, LARGE // 4 + 5, LARGE // 2, LARGE - 3, LARGE)
    check_counts(in_numpy, values(kind, LARGE), counts, np.ones(LARGE, bool))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [0.02, 0.45, 0.9])
def test_large_arrays_with_few_or_many_candidates_on_the_host(kind, density):
    """Values are dealt to the candidates in order, so that a regular sample of candidates is fooled as well."""
    among = np.random.default_rng(1).random(LARGE) < density
    eligible = int(among.sum())
    score = np.full(LARGE, 1e9, np.float32)
    score[among] = values(kind, eligible)
    check_counts(in_numpy, score, (1, eligible // 10, eligible // 2, eligible - 1), among)


@on_devices
@pytest.mark.parametrize("kind", ["normal", "few values", "all equal"])
def test_large_arrays_on_devices(call, kind):
    among = np.random.default_rng(1).random(LARGE) < 0.9
    check_counts(call, values(kind, LARGE), (1, LARGE // 3), among)


@pytest.mark.parametrize("kind", ["normal", "few values", "all equal", "high where sampled"])
@pytest.mark.parametrize("shape", [(512, 512), (128, 64, 4, 8)])
@settings(max_examples=3)
@given(layout=layouts, other=layouts, density=st.sampled_from([0.1, 0.9, 1.0]))
def test_large_views_on_the_host(kind, shape, layout, other, density):
    score = laid_out(values(kind, LARGE).reshape(shape), layout)
    among = laid_out(np.random.default_rng(2).random(shape) < density, other)
    check_counts(in_numpy, score, (int(among.sum()) // 3,), among)


# ---- compilation ----------------------------------------------------------------------------------------------


def test_jax_compiles_once_for_all_counts_and_candidates():
    jax = pytest.importorskip("jax")
    traced = []

    @jax.jit
    def top(score, count, among):
        traced.append(count)
        return selection.top(jax.numpy, score, count, among)

    score = values("few values", 50)
    for count in range(41):
        among = np.arange(50) % 6 != count % 2
        assert_array_equal(top(score, np.int32(count), among), oracle.top(score, count, among))
    assert len(traced) == 1


def test_torch_never_asks_for_a_value():
    """On the meta device there is none: whatever synchronises with an accelerator fails there."""
    xp = pytest.importorskip("array_api_compat.torch")
    score = xp.empty((9, 5), dtype=xp.float32, device="meta")
    count = xp.empty((), dtype=xp.int32, device="meta")
    chosen = selection.top(xp, score, count, score > 0)
    assert (chosen.shape, chosen.dtype) == ((9, 5), xp.bool)


# ---- finite ---------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_seen(call, value):
    for shape, place in (((1,), 0), ((9, 5), 44), ((5, 3, 3, 2), 0)):
        score = np.zeros(shape, np.float32)
        score.flat[place] = value
        assert not call(selection.finite, (), score)


@everywhere
@given(score=shapes.flatmap(scores))
def test_all_other_values_are_finite(call, score):
    assert call(selection.finite, (), score)
