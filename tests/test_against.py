"""Rows compared with a method: the right baseline for each, and the same seeds on both sides."""

from dataclasses import replace

import pytest

from records_fixture import row
from sparsebench.errors import UserError
from sparsebench_board.formats import FORMATS
from sparsebench_board.paired import compared
from sparsebench_board.table import render

DENSE = row(method="dense", sparsity=0.0, distribution="–", accuracies=(0.98, 0.99, 0.97))
STATIC = row(method="static", accuracies=(0.95, 0.96, 0.94))
RIGL = row(method="rigl", accuracies=(0.97, 0.97, 0.97))
ROWS = [DENSE, STATIC, RIGL]


def test_differences_are_taken_seed_by_seed():
    # 0.02, 0.01, 0.03: mean 0.02, s = 0.01, n = 3, t(0.975, 2) = 4.302653
    dense, static, rigl = compared(ROWS, "static")
    assert [each.baseline for each in (dense, static, rigl)] == [None, None, "static"]
    assert (static.difference, static.difference_ci95) == (None, None)
    assert rigl.difference == pytest.approx(0.02)
    assert rigl.difference_ci95 == pytest.approx(4.302653 * 0.01 / 3**0.5)


def test_dense_is_the_baseline_of_every_sparsity_and_others_of_their_own():
    sparser = [replace(each, sparsity=0.98, distribution="er") for each in (STATIC, RIGL)]
    assert [each.difference for each in compared([DENSE, *sparser], "dense")][1:] == pytest.approx([-0.03, -0.01])
    assert compared([STATIC, sparser[1]], "static")[1].baseline is None


@pytest.mark.parametrize(
    "other", [{"backend": "jax"}, {"model": "m"}, {"dataset": "d"}, {"multiplier": 2.0}, {"settings": {"alpha": 0.5}}]
)
def test_what_differs_in_anything_else_is_no_baseline(other):
    assert compared([replace(DENSE, **other), RIGL], "dense")[1].baseline is None


def test_only_common_seeds_count():
    shifted = replace(STATIC, seeds=(1, 2, 3), accuracies=(0.96, 0.94, 0.10))
    assert compared([shifted, RIGL], "static")[1].difference == pytest.approx((0.01 + 0.03) / 2)
    assert compared([replace(STATIC, seeds=(7, 8, 9)), RIGL], "static")[1].baseline is None


def test_the_board_shows_them():
    text = render(compared(ROWS, "static"), "table")
    assert "against static" in text
    assert "+2.00 ± 2.48" in text
    assert "against" not in render(ROWS, "table")
    assert all(render(compared(ROWS, "static"), name) for name in FORMATS)


def test_an_unknown_method_is_told():
    with pytest.raises(UserError, match="unknown method in --against 'rig': did you mean 'rigl'"):
        compared(ROWS, "rig")


def test_settings_of_a_methods_own_do_not_make_a_row_unlike():
    tuned, other = replace(RIGL, settings={"delta_t": 50}), replace(STATIC, settings={"ticket": "lottery redrawn"})
    assert compared([tuned, other, STATIC], "static")[0].difference == pytest.approx(0.02)
    assert compared([tuned, other], "static")[0].baseline is None
