"""Schedules: end points, monotony, and the published formulas in another form."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.config import Recipe, Updates
from sparsebench.conformance import oracle
from sparsebench.schedules import ANNEALS, RATES, constant, cosine, cubic, inverse_power, linear

progress = st.floats(0, 1)
pairs = st.tuples(progress, progress).map(sorted)
starts = st.sampled_from([0.3, 0.1, 1.0]) | st.floats(1e-6, 10)


# ---- cosine ---------------------------------------------------------------------------------------------------


@given(starts)
def test_cosine_goes_from_its_start_over_half_of_it_to_nothing(start):
    assert cosine(start, 0.0) == start
    assert cosine(start, 0.5) == pytest.approx(start / 2, rel=1e-15)
    assert cosine(start, 1.0) == 0.0


@given(starts, pairs)
def test_cosine_never_rises(start, pair):
    early, late = pair
    assert start >= cosine(start, early) >= cosine(start, late) >= 0.0


@given(starts, progress)
def test_cosine_is_the_square_of_a_cosine(start, u):
    assert cosine(start, u) == pytest.approx(start * math.cos(math.pi * u / 2) ** 2, rel=1e-12, abs=1e-15 * start)


@given(st.integers(1, 10**6).flatmap(lambda end: st.tuples(st.integers(0, end), st.just(end))))
def test_cosine_is_the_update_fraction(case):
    i, end = case
    assert cosine(0.3, i / end) == pytest.approx(oracle.cosine_fraction(0.3, i, end), abs=1e-15)


# ---- constant -------------------------------------------------------------------------------------------------


@given(starts, progress)
def test_constant_is_its_start(start, u):
    assert constant(start, u) == start


# ---- cubic ----------------------------------------------------------------------------------------------------


def test_cubic_goes_from_nothing_to_everything():
    """Exactly, so that a layer reaches exactly its count."""
    assert cubic(0.0) == 0.0
    assert cubic(1.0) == 1.0


@given(pairs)
def test_cubic_never_falls(pair):
    early, late = pair
    assert 0.0 <= cubic(early) <= cubic(late) <= 1.0


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 10**5))
def test_cubic_is_zhu_and_guptas(case, begin):
    k, length = case
    exact = oracle.pruning_share(begin + k, begin, begin + length)
    assert abs(Fraction(cubic(k / length)) - exact) < 1e-15
    assert exact == (Fraction(k, length) * 3 - 3 * Fraction(k, length) ** 2 + Fraction(k, length) ** 3)


def test_cubic_prunes_most_at_first():
    gains = np.diff([cubic(k / 20) for k in range(21)])
    assert (np.diff(gains) < 0).all()


# ---- names ----------------------------------------------------------------------------------------------------


def test_names_are_those_of_the_settings():
    assert dict(RATES) == {"cosine": cosine, "constant": constant}
    assert dict(ANNEALS) == dict(RATES) | {"linear": linear, "inverse-power": inverse_power}
    for name in ANNEALS:
        assert Updates(anneal=name).anneal == name
    for name in RATES:
        assert Recipe(steps=1, schedule=name).schedule == name


@given(start=starts, progress=progress)
def test_inverse_powers_are_the_formula(start, progress):
    """α · (1 − u)^k, exactly: k = 1 and 3."""
    left = 1 - Fraction(progress)
    assert linear(start, progress) == pytest.approx(float(Fraction(start) * left))
    assert inverse_power(start, progress) == pytest.approx(float(Fraction(start) * left**3), rel=1e-6, abs=1e-12)
