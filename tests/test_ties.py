"""Groups that cannot be told apart, and twins in two frameworks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import records_fixture as fixture
from records_fixture import row
from sparsebench.config import Recipe
from sparsebench_board.frameworks import single, twins
from sparsebench_board.holm import holm
from sparsebench_board.paired import differences, p_value
from sparsebench_board.rows import rows
from sparsebench_board.ties import lettered, pairwise, tied, ties

SEEDS = tuple(range(6))


def made(method, *accuracies, **other):
    mean = sum(accuracies) / len(accuracies)
    seeds = tuple(range(len(accuracies)))
    return row(method=method, cell=f"{method} {other}", accuracies=accuracies, accuracy=mean, seeds=seeds, **other)


GOOD = made("rigl", 0.950, 0.952, 0.949, 0.951, 0.950, 0.953)
ALSO = made("set", 0.949, 0.953, 0.950, 0.949, 0.951, 0.950)
BAD = made("static", 0.900, 0.903, 0.898, 0.902, 0.901, 0.899)


@st.composite
def apart(draw):
    count = draw(st.integers(1, 7))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    return count, {pair for pair in pairs if draw(st.booleans())}


def test_letters_of_a_chain():
    assert lettered(3, {(0, 2)}) == ["a", "ab", "b"]
    assert lettered(3, set()) == ["a", "a", "a"]
    assert lettered(3, {(0, 1), (0, 2), (1, 2)}) == ["a", "b", "c"]
    assert lettered(4, {(0, 2), (0, 3), (1, 3)}) == ["a", "ab", "bc", "c"]


@given(apart())
def test_rows_share_a_letter_exactly_where_they_are_not_told_apart(case):
    count, pairs = case
    letters = lettered(count, pairs)
    for i in range(count):
        assert letters[i]
        for j in range(i + 1, count):
            assert bool(set(letters[i]) & set(letters[j])) == ((i, j) not in pairs)


def test_where_letters_do_not_suffice_there_are_none():
    cocktail = {(2 * i, 2 * i + 1) for i in range(6)}  # 2⁶ groups
    assert lettered(12, cocktail) == [""] * 12


def test_what_is_worse_is_told_apart_and_what_is_near_is_not():
    found = {tie.row.method: tie for tie in ties([BAD, ALSO, GOOD])}
    assert [(name, found[name].letters, found[name].tied_with_best) for name in ("rigl", "set", "static")] == [
        ("rigl", "a", True), ("set", "a", True), ("static", "b", False),
    ]  # fmt: skip
    assert (found["rigl"].best, found["rigl"].difference, found["rigl"].p_holm, found["rigl"].tests) == (
        True,
        None,
        None,
        3,
    )
    assert (found["rigl"].tied, found["static"].tied) == ((ALSO.cell,), ())
    raw = [p_value(list(differences(a, b).values())) for a, b in ((GOOD, ALSO), (GOOD, BAD), (ALSO, BAD))]
    assert found["static"].p_holm == pytest.approx(holm(raw)[1])
    assert found["static"].difference.mean == pytest.approx(BAD.accuracy - GOOD.accuracy)


@given(st.permutations([GOOD, ALSO, BAD, made("snip", *GOOD.accuracies)]))
def test_the_order_of_rows_means_nothing(order):
    assert tied(order) == tied([GOOD, ALSO, BAD, made("snip", *GOOD.accuracies)])


def test_more_comparisons_need_more_proof():
    close = made("snip", 0.945, 0.951, 0.946, 0.948, 0.947, 0.950)
    (_, two), many = tied([GOOD, close]), tied([GOOD, close, *(made(f"m{i}", *GOOD.accuracies) for i in range(6))])
    assert not two.tied_with_best
    assert next(tie for tie in many if tie.row is close).tied_with_best


def test_groups_are_of_one_sparsity_and_rows_that_lack_seeds_are_in_none():
    other, lacking = made("static", *BAD.accuracies, sparsity=0.98), replace(ALSO, missing=(7,))
    found = ties([GOOD, other, lacking])
    assert [(tie.row, tie.letters, tie.best) for tie in found] == [(GOOD, "", True), (other, "", True)]


def test_what_cannot_be_tested_is_tied():
    one = replace(GOOD, seeds=(0,), accuracies=(0.95,))
    elsewhere = replace(BAD, seeds=(7, 8), accuracies=(0.1, 0.2))
    assert pairwise([one, BAD, elsewhere]) == {(0, 1): None, (0, 2): None, (1, 2): None}
    best, *rest = tied([one, BAD, elsewhere])
    assert [tie.tied_with_best for tie in rest] == [True, True]
    assert [tie.difference is None for tie in rest] == [False, True]
    assert best.tests == 0


# ---- frameworks -----------------------------------------------------------------------------------------------


def test_twins_differ_in_the_backend_alone(tmp_path):
    formats = [("torch", "channels-last", 0.91), ("jax", "channels-first", 0.90)]
    found = [
        fixture.write(
            tmp_path,
            fixture.config(seed=seed, backend=backend, recipe=Recipe(steps=200, memory_format=format)),
            accuracy + seed / 100,
        )
        for seed in (0, 1, 2)
        for backend, format, accuracy in formats
    ]
    found += [
        fixture.write(tmp_path, fixture.config("set", seed=seed, backend=backend, multiplier=length), 0.5)
        for seed, backend, length in ((0, "torch", 1.0), (0, "jax", 2.0))
    ]
    shown = rows(found)
    (pair,) = twins(shown)
    assert (pair.what, pair.first.method, pair.second.backend) == ("torch − jax", "rigl", "jax")
    assert (pair.difference.mean, pair.difference.interval.kind) == (pytest.approx(0.01), "equal")
    assert pair.p_holm == 0.25
    assert sorted(each.backend for each in single(shown, [pair])) == ["jax", "torch"]


def test_twins_are_compared_over_common_seeds_and_corrected_together():
    torch = made("rigl", 0.91, 0.92, 0.94, 0.95)
    jax = replace(torch, backend="jax", cell="j", seeds=(1, 2, 3, 4), accuracies=(0.91, 0.92, 0.94, 0.0))
    others = [replace(each, method="set", twin="u", cell=each.backend) for each in (torch, jax)]
    found = twins([jax, torch, *others])
    assert [pair.difference.seeds for pair in found] == [(1, 2, 3), (1, 2, 3)]
    assert found[0].difference.mean == pytest.approx((0.01 + 0.02 + 0.01) / 3)
    assert found[0].p_holm == pytest.approx(2 * found[0].difference.p)
    assert twins([torch, replace(jax, seeds=(7, 8, 9, 10))]) == []
