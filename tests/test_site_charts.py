"""Small pictures drawn by hand: what is where, and that nothing leaves the frame."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench_board.site import charts
from sparsebench_board.site.charts import SPAN, TALL, WIDE, Curve, Spread
from sparsebench_board.site.tables import parted

finite = st.floats(-1e6, 1e6)


@given(finite, finite)
def test_ticks_are_round_and_enclose(first, second):
    low, high = sorted((first, second))
    found = charts.ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8
    assert found == sorted(set(found))


def test_ticks_of_some_ranges():
    assert charts.ticks(0, 1000) == [0, 250, 500, 750, 1000]
    assert charts.ticks(91.8, 97.7) == [90, 92, 94, 96, 98]
    assert charts.ticks(5, 5) == [4.5, 4.75, 5.0, 5.25, 5.5]


@given(st.lists(st.tuples(finite, st.floats(0, 100)), min_size=1, max_size=30), finite)
def test_intervals_stay_in_their_frame(found, mark):
    spreads = [Spread(mean, mean - width, mean + width) for mean, width in found]
    scale = charts.scale(spreads, mark)
    for spread in spreads:
        places = [float(x) for x in re.findall(r'(?:cx="|M|H)(-?[\d.]+)', charts.whisker(spread, scale))]
        assert all(0 <= place <= SPAN for place in places)


def test_an_interval_is_where_its_numbers_are():
    scale = charts.Scale(0.0, 1.0, mark=0.5)
    drawn = charts.whisker(Spread(0.5, 0.25, 0.75), scale)
    assert 'class="mark" d="M66.0 0' in drawn
    assert 'd="M35.0 8.0H97.0"' in drawn
    assert '<circle cx="66.0"' in drawn
    assert "hollow" in charts.whisker(Spread(2.0, None, None), scale)


def test_arrows_point_to_what_is_beyond():
    scale = charts.Scale(0.0, 1.0)
    arrows = {
        name: charts.whisker(spread, scale).count('class="span"') - 1
        for name, spread in {
            "none": Spread(0.5, 0.1, 0.9), "left": Spread(0.5, -1.0, 0.9), "both": Spread(0.5, -1.0, 2.0),
            "far": Spread(-5.0, -6.0, -4.0),
        }.items()
    }  # fmt: skip
    assert arrows == {"none": 0, "left": 1, "both": 2, "far": 1}


def test_an_outlier_does_not_squeeze_the_rest():
    near = [Spread(0.9 + k / 1000, None, None) for k in range(8)]
    assert charts.scale([*near, Spread(0.1, None, None)]).low > 0.8


@given(st.lists(st.lists(st.tuples(st.integers(0, 10**6), finite), max_size=20), max_size=8))
def test_curves_stay_in_their_frame(found):
    lines = [Curve(seed, [x for x, _ in points], [y for _, y in points]) for seed, points in enumerate(found)]
    drawn = charts.curves(lines, "loss")
    if not any(found):
        assert drawn is None
        return
    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]*)"', drawn)))
    assert all(0 <= float(x) <= WIDE and 0 <= float(y) <= TALL for x, y in points)


def test_titles_are_escaped():
    assert "<b>" not in charts.curves([Curve(0, [0], [1])], '"><b>')


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("97.13 ± 1.05", ("97.13", " ± 1.05")), ("-0.10 [-0.30, 0.10]", ("−0.10", " [-0.30, 0.10]")),
        ("1.4 MB * 67%", ("1.4 MB", " * 67%")), ("0.35× 5%", ("0.35×", " 5%")), ("best of 37", ("best of 37", "")),
        ("", ("", "")),
    ],
)  # fmt: skip
def test_numbers_and_what_goes_with_them(text, parts):
    assert parted(text) == parts
