"""Recipes on the board: what is only twice as long, or means nothing to a backend, sets no row apart."""

import records_fixture as fixture
from sparsebench.config import Recipe
from sparsebench_board.rows import rows


def recipe(multiplier=1, **other):
    """Resolved, as a record has it."""
    lengths = {"steps": 200 * multiplier, "milestones": (100.0 * multiplier, 150.0 * multiplier)}
    return Recipe(schedule="step", warmup=20.0 * multiplier, **(lengths | other))


def board(folder, *configs):
    return {
        (row.multiplier, row.backend): row
        for row in rows([fixture.write(folder, config) for config in configs])
    }  # fmt: skip


def test_lengths_are_shown_at_1x(tmp_path):
    found = board(
        tmp_path, fixture.config(recipe=recipe()), fixture.config(recipe=recipe(2), multiplier=2.0, seed=1)
    )  # fmt: skip
    assert {key: row.settings for key, row in found.items()} == {(1.0, "torch"): {}, (2.0, "torch"): {}}
    assert found[1.0, "torch"].missing == (1,), "both are of one benchmark, whose seeds are 0 and 1"


def test_milestones_that_differ_are_told(tmp_path):
    other = fixture.config(recipe=recipe(milestones=(100.0, 180.0)), backend="jax")
    found = board(tmp_path, fixture.config(recipe=recipe()), other)
    assert found[1.0, "torch"].settings == {"milestones": [100, 150]}
    assert found[1.0, "jax"].settings == {"milestones": [100, 180]}


def test_a_memory_format_is_told_within_a_backend_only(tmp_path):
    last = recipe(memory_format="channels-last")
    found = board(tmp_path, fixture.config(recipe=last), fixture.config(recipe=recipe(), backend="jax", seed=1))
    assert found[1.0, "torch"].settings == found[1.0, "jax"].settings == {}
    assert found[1.0, "torch"].missing == (1,), "the backends are to have the same seeds"
    both = [fixture.write(tmp_path, fixture.config(recipe=each)) for each in (last, recipe())]
    assert {row.settings["memory_format"] for row in rows(both)} == {"channels-last", "channels-first"}
