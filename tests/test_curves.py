"""Curves: what events say is what is drawn, means over seeds, names as text."""

import pytest

import records_fixture as fixture
from sparsebench.config import Recipe
from sparsebench.errors import UserError
from sparsebench_board.cells import cells
from sparsebench_board.pictures import KINDS, curves


@pytest.fixture
def pair(tmp_path):
    """RigL in both frameworks."""
    return [fixture.write(tmp_path / "runs", fixture.config(backend=name)) for name in ("torch", "jax")]


def test_points_are_those_of_the_events(pair):
    events = pair[0].events()
    assert curves.losses(events) == {50: 1.2345678, 150: 0.5}
    assert curves.accuracies(events) == {100: 45.0, 200: 90.0}


def test_cells_are_named_by_what_sets_them_apart(pair, tmp_path):
    assert curves.names(cells(pair)) == ["rigl 0.9 torch", "rigl 0.9 jax"]
    longer = fixture.write(tmp_path / "runs", fixture.config(multiplier=2.0, recipe=Recipe(steps=400)))
    assert curves.names(cells([pair[0], longer])) == ["rigl 0.9 1× torch", "rigl 0.9 2× torch"]
    other = fixture.write(tmp_path / "runs", fixture.config(dataset="mnist"))
    assert curves.names(cells([pair[0], other])) == ["on digits rigl 0.9 torch", "on mnist rigl 0.9 torch"]


def test_what_is_written_names_every_line(pair):
    svg = KINDS["curves"].svg(pair)
    for text in ("rigl 0.9 torch", "rigl 0.9 jax", "training loss", "test accuracy, %", "lenet-300-100 on digits"):
        assert text in svg


def test_a_line_is_the_mean_over_seeds(tmp_path):
    records = [
        fixture.write(tmp_path, fixture.config(seed=seed), accuracy=accuracy)
        for seed, accuracy in enumerate((0.88, 0.92))
    ]
    above, below = curves.figure(records).axes
    (accuracy,) = below.lines
    assert accuracy.get_xydata().tolist() == [[100, 45.0], [200, pytest.approx(90.0)]]
    assert len(below.collections) == 1
    assert [line.get_label() for line in above.lines] == ["rigl 0.9 torch"]


@pytest.mark.parametrize("count", [0, 7])
def test_no_more_than_can_be_told_apart(tmp_path, count):
    records = [fixture.write(tmp_path / "runs", fixture.config(sparsity=0.1 * (1 + k))) for k in range(count)]
    with pytest.raises(UserError, match=f"curves of {count} cells: one to 6 can be told apart"):
        KINDS["curves"].svg(records)
