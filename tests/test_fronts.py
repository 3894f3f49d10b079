"""Pareto fronts and what a budget buys: known answers, and laws that hold for any rows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records_fixture import row
from sparsebench.errors import UserError
from sparsebench_board.budgets import bought, parsed, within
from sparsebench_board.fronts import COSTS, front, fronts, standings
from sparsebench_board.resampling import RESAMPLES, draws

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=10)


def made(name, accuracies, cost=1.0, **other):
    costs = dict.fromkeys(("training_flops", "training_ratio", "inference_flops", "bytes", "seconds"), cost)
    mean, seeds = sum(accuracies) / len(accuracies), tuple(range(len(accuracies)))
    return row(method=name, cell=name, accuracies=tuple(accuracies), accuracy=mean, seeds=seeds, **costs, **other)


# ---- fronts ---------------------------------------------------------------------------------------------------


def test_a_front_by_hand():
    accuracies, costs = np.array([0.9, 0.8, 0.85, 0.9, 0.7, 0.9]), np.array([3.0, 1.0, 2.0, 4.0, 1.0, 3.0])
    assert front(accuracies, costs).tolist() == [True, True, True, False, False, True]


@given(points)
def test_a_row_is_on_the_front_unless_another_dominates_it(pairs):
    accuracies, costs = np.array(pairs, dtype=float).T
    dominated = [
        any(a >= accuracy and c <= cost and (a > accuracy or c < cost) for a, c in pairs) for accuracy, cost in pairs
    ]
    assert front(accuracies, costs).tolist() == [not each for each in dominated]
    assert front(accuracies, costs).any()


@given(points, st.randoms())
def test_a_front_knows_no_order_and_no_scale(pairs, random):
    accuracies, costs = np.array(pairs, dtype=float).T
    found = front(accuracies, costs)
    order = random.sample(range(len(pairs)), len(pairs))
    assert front(accuracies[order], costs[order]).tolist() == found[order].tolist()
    assert front(2 * accuracies + 1, np.exp(costs)).tolist() == found.tolist()
    assert front(np.stack([accuracies, -accuracies]), costs)[0].tolist() == found.tolist()


def test_few_seeds_are_drawn_in_all_ways_and_many_in_fixed_ones():
    assert draws(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert (draws(5).shape, draws(6).shape) == ((5**5, 5), (RESAMPLES, 6))
    assert (draws(6) == draws(6)).all()
    assert np.bincount(draws(6).ravel()) == pytest.approx(np.full(6, RESAMPLES), rel=0.03)


def test_the_chance_by_hand():
    # of 27 resamples B has none of its 1.0 in 8 (A alone is on the front), one in 12 (a tie), more in 7 (B alone)
    steady, lucky = made("a", [0.9, 0.9, 0.9]), made("b", [0.85, 0.85, 1.0])
    found = standings([steady, lucky])
    for cost in COSTS:
        assert [each.chance[cost] for each in found] == pytest.approx([20 / 27, 19 / 27])
        assert [each.on[cost] for each in found] == [True, True]


def test_seeds_are_resampled_in_pairs():
    better, worse = made("a", [0.5, 0.7, 0.9]), made("b", [0.49, 0.69, 0.89])  # whatever the draw
    found = standings([better, worse])
    assert [each.chance["bytes"] for each in found] == [1.0, 0.0]


def test_a_cheap_row_is_on_the_front_for_sure_and_costs_are_looked_at_one_by_one():
    cheap, dear = made("a", [0.1, 0.2, 0.3], 1.0), replace(made("b", [0.9, 0.8, 0.9], 2.0), bytes=0.5)
    first, second = standings([cheap, dear])
    assert (first.on["training_flops"], first.chance["training_flops"]) == (True, 1.0)
    assert (first.on["bytes"], first.chance["bytes"]) == (False, 0.0)
    assert all(second.on.values())


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(1, 3)), min_size=1, max_size=6),
    st.randoms(),
)
def test_standings_know_no_order(cases, random):
    rows = [made(str(i), [value / 10 for value in values], float(cost)) for i, (values, cost) in enumerate(cases)]
    found = {each.row.cell: each for each in standings(rows)}
    shuffled = {each.row.cell: each for each in standings(random.sample(rows, len(rows)))}
    assert found == shuffled
    assert any(each.on["seconds"] for each in found.values())
    assert sum(each.chance["seconds"] for each in found.values()) >= 1 - 1e-9


def test_without_common_seeds_there_is_no_chance_to_tell():
    rows = [made("a", [0.9]), made("b", [0.8])]
    assert [each.chance["bytes"] for each in standings(rows)] == [None, None]
    apart = [made("a", [0.9, 0.8]), replace(made("b", [0.8, 0.9]), seeds=(7, 8))]
    assert [each.chance["bytes"] for each in standings(apart)] == [None, None]


def test_a_row_of_unknown_cost_is_on_no_front_of_it_and_keeps_nobody_off():
    unknown, known = replace(made("a", [0.9, 0.95]), training_flops=None), made("b", [0.8, 0.7])
    first, second = standings([unknown, known])
    assert (first.on["training_flops"], first.chance["training_flops"]) == (False, None)
    assert (second.on["training_flops"], second.chance["training_flops"]) == (True, 1.0)
    assert (first.on["bytes"], second.on["bytes"]) == (True, False)
    only = standings([unknown])
    assert (only[0].on["training_flops"], only[0].chance["training_flops"]) == (False, None)


def test_rows_that_lack_seeds_and_other_data_sets_are_in_no_front():
    best, lacking = made("a", [0.9, 0.9], dataset="x"), made("b", [1.0, 1.0], dataset="x", missing=(2,))
    found = fronts([best, lacking, made("c", [0.95, 0.95], dataset="y")])
    assert [(each.row.cell, each.on["bytes"], each.chance["bytes"]) for each in found] == [
        ("a", True, 1.0),
        ("c", True, 1.0),
    ]


# ---- budgets --------------------------------------------------------------------------------------------------

DENSE = made("dense", [0.950, 0.951, 0.949], 1.0, sparsity=0.0)
LONG = made("rigl-5x", [0.951, 0.949, 0.952], 1.0, multiplier=5.0)
SHORT = made("rigl", [0.900, 0.902, 0.899], 0.2)


def test_a_long_sparse_run_stands_beside_dense():
    found = bought([DENSE, LONG, SHORT], [0.1, 0.5, 1.0])
    assert [(each.budget, each.row.cell, each.best, each.of) for each in found] == [
        (0.5, "rigl", True, 1), (1.0, "rigl-5x", True, 3), (1.0, "dense", False, 3),
    ]  # fmt: skip
    assert found[2].difference.mean == pytest.approx(DENSE.accuracy - LONG.accuracy)
    assert found[2].p_holm >= 0.05


@given(st.permutations([DENSE, LONG, SHORT]), st.floats(0.05, 3))
def test_the_best_is_within_the_budget_and_no_affordable_row_beats_it(rows, budget):
    found = within(rows, budget)
    affordable = [each for each in rows if each.training_ratio <= budget]
    assert [each.best for each in found] == [True] * bool(found) + [False] * (len(found) - 1)
    assert bool(found) == bool(affordable)
    if found:
        assert found[0].row.accuracy == max(each.accuracy for each in affordable)
        assert all(each.row in affordable for each in found)
    assert [each.row.cell for each in found] == [
        each.row.cell for each in within(sorted(rows, key=lambda r: r.cell), budget)
    ]


def test_rows_that_lack_seeds_are_not_bought():
    assert [each.row.cell for each in bought([DENSE, replace(LONG, missing=(5,))], [1.0])] == ["dense"]


def test_what_costs_nobody_knows_what_is_not_bought():
    assert within([replace(SHORT, training_ratio=None)], 1.0) == []


def test_budgets_as_they_are_typed():
    assert parsed("1, 0.25,0.25") == (0.25, 1.0)
    for wrong in ("", "a", "0", "-1,1", "1,inf", "nan", "50%"):
        with pytest.raises(UserError, match="give shares of dense training FLOPs above 0"):
            parsed(wrong)
