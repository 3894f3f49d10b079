"""Intervals, paired tests, Holm's correction, what seeds could have shown: against tables, R, formulas, simulation."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from records_fixture import row
from sparsebench_board.holm import holm, holm_within
from sparsebench_board.intervals import MANY, half_width, interval, mean
from sparsebench_board.paired import compared, differences, p_value
from sparsebench_board.power import detectable, noncentrality
from sparsebench_board.resampling import GENERATOR, RESAMPLES

# R's data set `sleep`; `t.test(Pair(extra.1, extra.2) ~ 1)` prints t = -4.0621, df = 9, p-value = 0.002833
SLEEP = (
    (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
    (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
)
samples = st.lists(st.integers(0, 10**4).map(lambda count: count / 10**4), min_size=2, max_size=12)
ps = st.lists(st.none() | st.floats(0, 1), max_size=12)


# ---- intervals ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(samples, st.randoms())
def test_an_interval_names_its_kind_and_means_the_same_in_any_order(values, random):
    found = interval(values)
    equal = min(values) == max(values)
    assert found.kind == ("equal" if equal else "bca" if len(values) >= MANY else "t")
    assert found.low <= mean(values) + 1e-12
    assert found.high >= mean(values) - 1e-12
    if found.kind == "bca":
        assert min(values) <= found.low < found.high <= max(values)
        shuffled = random.sample(values, len(values))
        assert interval(shuffled) == found
    assert half_width(values) == pytest.approx((found.high - found.low) / 2)


def test_single_and_equal_values():
    assert (interval([0.9]).kind, interval([0.9]).low, half_width([0.9])) == ("none", None, None)
    for count in (3, 10):
        found = interval([0.9] * count)
        assert (found.kind, found.low, found.high, found.half_width) == ("equal", 0.9, 0.9, 0.0)


def test_bca_is_its_formula():
    """Efron and Tibshirani 1993, section 14.3, on resamples of our own; lopsided, so that both corrections matter."""
    values = np.array([0.90, 0.91, 0.91, 0.92, 0.92, 0.93, 0.93, 0.99, 0.92, 0.90])
    resampled = np.random.default_rng(1).choice(values, (200_000, len(values))).mean(axis=1)
    middle = values.mean()
    bias = stats.norm.ppf((np.mean(resampled < middle) + np.mean(resampled <= middle)) / 2)
    pulls = values - middle  # the jackknife of a mean
    acceleration = (pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(resampled, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    found = interval(list(values))
    assert found.kind == "bca"
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))
    assert found.high - middle > 1.2 * (middle - found.low), "as lopsided as the sample"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 300).map(lambda count: count / 300), min_size=MANY, max_size=12))
def test_bca_is_scipys(values):
    assume(min(values) < max(values))
    generator = np.random.default_rng(GENERATOR)
    ends = stats.bootstrap(
        (sorted(values),), np.mean, n_resamples=RESAMPLES, confidence_level=0.95, method="BCa", rng=generator
    ).confidence_interval
    found = interval(values)
    assert found.kind == "bca"
    assert (found.low, found.high) == (pytest.approx(ends.low, abs=1e-12), pytest.approx(ends.high, abs=1e-12))


def test_what_bca_cannot_do_student_does():
    values = [0.5] * 7 + [math.nextafter(0.5, 1)]  # means of resamples round to one value or the other
    assert interval(values).kind in ("t", "bca")
    assert math.isfinite(interval(values).low)


# ---- paired tests ---------------------------------------------------------------------------------------------


def test_the_paired_test_is_rs():
    ours, theirs = (row(seeds=tuple(range(10)), accuracies=side) for side in SLEEP)
    assert p_value(list(differences(ours, theirs).values())) == pytest.approx(0.002833, abs=5e-7)


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=12))
def test_the_paired_test_is_scipys(counts):
    values = [count / 1000 for count in counts]
    if min(values) == max(values):
        assert p_value(values) == (2.0 ** (1 - len(values)) if values[0] else 1.0)
    else:
        assert p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)


def test_rounding_is_no_spread():
    ours, theirs = row(accuracies=(0.9, 0.8, 0.7)), row(accuracies=(0.8, 0.7, 0.6))
    assert 0.9 - 0.8 != 0.8 - 0.7
    assert p_value(list(differences(ours, theirs).values())) == 0.25
    assert p_value([0.1]) is None


@pytest.mark.parametrize("count", [3, 8, 12])
@pytest.mark.parametrize("draw", ["normal", "heavy", "uniform", "few"])
def test_the_level_holds_where_differences_are_symmetric(count, draw):
    generator, size = np.random.default_rng(0), (2000, count)
    drawn = {
        "normal": lambda: generator.normal(size=size),
        "heavy": lambda: generator.standard_t(3, size=size),
        "uniform": lambda: generator.uniform(-1, 1, size=size),
        "few": lambda: generator.integers(-2, 3, size=size).astype(float),
    }[draw]()
    assert np.mean([p_value(list(values)) < 0.05 for values in drawn]) < 0.07


# ---- Holm -----------------------------------------------------------------------------------------------------


def test_holm_is_rs():
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") prints 0.03 0.06 0.06 0.02
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert holm([]) == []


@given(ps, st.randoms())
def test_holm_keeps_order_and_is_between_the_p_and_bonferroni(values, random):
    found = holm(values)
    tested = [(p, q) for p, q in zip(values, found, strict=True) if p is not None]
    assert [q is None for q in found] == [p is None for p in values]
    assert all(p <= q <= min(1, len(tested) * p) for p, q in tested)
    assert [q for _, q in sorted(tested)] == sorted(q for _, q in tested)
    order = random.sample(range(len(values)), len(values))
    assert holm([values[place] for place in order]) == [found[place] for place in order]


def test_families_do_not_know_of_each_other():
    assert holm_within(["a", "b", "a"], [0.01, 0.01, 0.02]) == [0.02, 0.01, 0.02]


def test_holm_errs_once_in_twenty_families_at_most():
    generator = np.random.default_rng(2)
    wrong = [min(holm(list(generator.uniform(size=10)))) < 0.05 for _ in range(2000)]
    assert np.mean(wrong) < 0.065


def test_the_board_corrects_within_a_sparsity():
    static = row(method="static", cell="s", accuracies=(0.90, 0.91, 0.92))
    rigl = row(method="rigl", cell="r", accuracies=(0.95, 0.97, 0.97))
    set_ = row(method="set", cell="t", accuracies=(0.93, 0.93, 0.95))
    alone = [
        row(method=name, cell=name, sparsity=0.5, accuracies=a.accuracies)
        for name, a in (("static", static), ("rigl", rigl))
    ]
    found = {(each.method, each.sparsity): each for each in compared([static, rigl, set_, *alone], "static")}
    raw = {name: stats.ttest_rel(a.accuracies, static.accuracies).pvalue for name, a in (("rigl", rigl), ("set", set_))}
    lower, higher = sorted(raw, key=raw.get)
    assert found[lower, 0.9].p_holm == pytest.approx(2 * raw[lower])
    assert found[higher, 0.9].p_holm == pytest.approx(max(2 * raw[lower], raw[higher]))
    assert found["rigl", 0.5].p_holm == pytest.approx(raw["rigl"])
    assert found["static", 0.9].p_holm is None


# ---- what could have been shown -------------------------------------------------------------------------------


def test_half_a_standard_deviation_takes_34_pairs():
    """As printed in tables and by G*Power: d = 0.5, two-sided 5 %, power 80 %."""
    assert noncentrality(32) / math.sqrt(33) > 0.5 > noncentrality(33) / math.sqrt(34)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_four_of_five_samples_show_it(count):
    generator = np.random.default_rng(3)
    shift = noncentrality(count - 1) / math.sqrt(count)
    drawn = generator.normal(shift, 1, size=(4000, count))
    assert np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


@given(samples)
def test_what_could_be_shown_scales_with_the_spread(values):
    found = detectable(values)
    if min(values) == max(values):
        assert found is None
    else:
        assert found == pytest.approx(
            noncentrality(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        )
        assert detectable([3 * value for value in values]) == pytest.approx(3 * found)
    assert detectable(values[:1]) is None
