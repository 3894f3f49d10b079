"""Curves: what events say is what is drawn, the same file from the same records, names as text."""

import pytest

import records_fixture as fixture
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench_board import curves


@pytest.fixture
def pair(tmp_path):
    """RigL in both frameworks."""
    return [fixture.write(tmp_path / "runs", fixture.config(backend=name)) for name in ("torch", "jax")]


def test_points_are_those_of_the_events(pair):
    events = pair[0].events()
    assert curves.losses(events) == ([50, 150], [1.2345678, 0.5])
    assert curves.accuracies(events) == ([100, 200], pytest.approx([45.0, 90.0]))


def test_runs_are_named_by_what_sets_them_apart(pair, tmp_path):
    assert [curves.label(record, pair) for record in pair] == ["rigl 0.9 torch", "rigl 0.9 jax"]
    more = [*pair, fixture.write(tmp_path / "runs", fixture.config(seed=1))]
    assert curves.label(more[2], more) == "rigl 0.9 torch seed 1"


def test_the_same_records_make_the_same_file(pair, tmp_path):
    curves.draw(pair, tmp_path / "a.svg")
    curves.draw(pair, tmp_path / "b.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert svg == (tmp_path / "b.svg").read_text()
    for text in ("rigl 0.9 torch", "rigl 0.9 jax", "training loss", "test accuracy, %", "lenet-300-100 on digits"):
        assert text in svg


def test_names_are_text(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config(method="<script>alert(1)</script>"))
    curves.draw([record], tmp_path / "a.svg")
    assert "<script" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("count", [0, 5])
def test_no_more_than_can_be_told_apart(tmp_path, count):
    records = [fixture.write(tmp_path / "runs", fixture.config(seed=seed)) for seed in range(count)]
    with pytest.raises(UserError, match=f"curves of {count} runs: one to 4 can be told apart"):
        curves.draw(records, tmp_path / "a.svg")


def test_the_command_draws_a_part(pair, tmp_path, capsys):
    where = ["--records", str(tmp_path / "runs"), "--to", str(tmp_path / "c.svg")]
    assert main(["plot", "curves", *where, "--only", "backend=jax"]) == 0
    assert "curves of 1 runs" in capsys.readouterr().out
    assert "torch" not in (tmp_path / "c.svg").read_text()
    assert main(["plot", "curves", *where[:-1], "/nowhere/c.svg"]) == 2
    assert "cannot write /nowhere/c.svg" in capsys.readouterr().err
