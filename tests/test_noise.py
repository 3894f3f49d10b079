"""Keyed noise: the same bits in every namespace and in plain integers, and nothing to be seen in them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparsebench import noise
from sparsebench.conformance import oracle
from strategies import everywhere, in_jax, seeds

SIZE = 1 << 18
PURPOSES = ("start", "drop", "grow")

keys = st.tuples(seeds, st.integers(0, 2**40), st.text(max_size=12), st.sampled_from(PURPOSES) | st.text(max_size=6))


def drawn(xp, purpose, shape, key):
    return noise.uniform(xp, noise.stream(key, purpose), shape)


def numbers(seed=0, iteration=100, layer="fc1", purpose="grow", size=SIZE):
    return drawn(np, purpose, (size,), noise.key(seed, iteration, layer)).astype(np.float64)


@everywhere
@pytest.mark.parametrize("shape", [(64,), (7, 11), (1, 1), (0,), (3, 0), (4, 3, 3, 2)])
@given(key=keys)
def test_bits_are_the_oracles(call, shape, key):
    seed, iteration, layer, purpose = key
    if call is in_jax:
        purpose = "grow"  # static, so that JAX compiles once for each shape
    scores = np.asarray(call(drawn, (purpose, shape), noise.key(seed, iteration, layer)))
    assert scores.dtype == np.float32
    assert_array_equal(scores, oracle.noise_array(seed, iteration, layer, purpose, shape))


def test_bits_never_change():
    """Written down once, from the oracle: old runs must stay reproducible."""
    scores = numbers(seed=3, iteration=200, layer="layer1.0.conv1", purpose="grow", size=4) * 2**24
    assert scores.tolist() == [16134204, 12805126, 654315, 14964309]
    assert noise.key(3, 200, "layer1.0.conv1") == (-1190932310, -77679380)


@everywhere
def test_large_layers(call):
    shape = (1000, 2053)
    scores = np.asarray(call(drawn, ("start", shape), noise.key(1, 0, "fc")))
    places = np.linspace(0, scores.size - 1, 997).astype(int)
    expected = [float(score) for score in oracle.noise(1, 0, "fc", "start", places.tolist())]
    assert_array_equal(scores.ravel()[places], np.array(expected, np.float32))


@everywhere
def test_an_entry_depends_on_its_canonical_index_and_the_key_only(call):
    key = noise.key(5, 40, "fc2")
    long, square, deep = (np.asarray(call(drawn, ("drop", s), key)) for s in ((120,), (10, 12), (5, 4, 3, 2)))
    assert_array_equal(square.ravel(), long)
    assert_array_equal(deep.ravel(), long)
    assert_array_equal(np.asarray(call(drawn, ("drop", (7,)), key)), long[:7])


@given(key=keys)
def test_values_are_multiples_of_a_fraction_in_the_unit_interval(key):
    scores = numbers(*key, size=500)
    assert scores.min() >= 0
    assert scores.max() < 1
    assert_array_equal(scores * 2**24 % 1, 0)


@given(key=keys)
def test_keys_are_two_signed_words(key):
    for word in (*noise.key(*key[:3]), *noise.stream(noise.key(*key[:3]), key[3])):
        assert type(word) is int
        assert -(2**31) <= word < 2**31


def test_jax_compiles_once_for_all_keys():
    jax = pytest.importorskip("jax")
    traced = []

    @jax.jit
    def draw(key):
        traced.append(key)
        return drawn(jax.numpy, "grow", (30,), key)

    for iteration in range(20):
        assert_array_equal(draw(noise.key(0, iteration, "fc1")), numbers(iteration=iteration, size=30))
    assert len(traced) == 1


# ---- nothing to be seen ---------------------------------------------------------------------------------------
# The inputs are fixed, so these either hold or do not: bounds are five standard errors of independent fair draws.

VARIANTS = (
    {},
    *({"seed": seed} for seed in (1, 2, 2**62)),
    *({"iteration": i} for i in (0, 101, 200)),
    *({"layer": name} for name in ("fc2", "layer1.0.conv1")),
    *({"purpose": purpose} for purpose in ("start", "drop")),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_uniform(variant):
    scores = numbers(**variant)
    assert abs(scores.mean() - 0.5) < 5 * (1 / 12 / SIZE) ** 0.5
    assert abs(scores.var() - 1 / 12) < 5 * (1 / 180 / SIZE) ** 0.5
    observed = np.bincount((scores * 256).astype(int), minlength=256)
    chi_square = ((observed - SIZE / 256) ** 2).sum() / (SIZE / 256)
    assert abs(chi_square - 255) < 5 * (2 * 255) ** 0.5


def test_each_of_the_24_bits_is_fair_and_independent_of_the_others():
    bits = (numbers() * 2**24).astype(np.int64)[:, None] >> np.arange(24) & 1
    correlations = np.corrcoef(bits.T) - np.eye(24)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / SIZE**0.5
    assert np.abs(correlations).max() < 5 / SIZE**0.5


def test_neighbours_are_independent():
    scores = numbers()
    for distance in (1, 2, 3, 16, 300, 784, 1 << 16):
        assert abs(np.corrcoef(scores[:-distance], scores[distance:])[0, 1]) < 5 / (SIZE - distance) ** 0.5


def test_seeds_iterations_layers_and_purposes_are_independent():
    """Correlation, and the overlap of the top tenths: what SET grows at one update says nothing about the next."""
    draws = [numbers(**variant) for variant in VARIANTS]
    tenths = [scores > 0.9 for scores in draws]
    for (a, top_a), (b, top_b) in combinations(zip(draws, tenths, strict=True), 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / SIZE**0.5
        assert abs((top_a & top_b).mean() - 0.01) < 5 * (0.01 * 0.99 / SIZE) ** 0.5


def test_each_bit_of_the_index_turns_half_of_the_bits():
    bits, index = (numbers() * 2**24).astype(np.int64), np.arange(1 << 14)
    for bit in range(14):
        turned = bits[index] ^ bits[index ^ (1 << bit)]
        counts = (turned[:, None] >> np.arange(24) & 1).sum(axis=1)
        assert abs(counts.mean() - 12) < 5 * (6 / (index.size / 2)) ** 0.5  # each pair is met twice
