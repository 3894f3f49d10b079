"""The command of a run: typed in again it is the same run, whatever its settings are."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

import records_fixture as fixture
from sparsebench import command
from sparsebench.asked import Asked
from sparsebench.cli import app
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, Roles, RunConfig, Ticket, Updates

STEP = {"schedule": "step", "milestones": (30.0, 60.0), "decay": 0.2, "warmup": 10.0}
CASES = [
    {"method": "dense", "sparsity": 0.0},
    {"method": "rigl", "seed": 2**62, "backend": "jax", "distribution": "uniform"},
    {"method": "set", "recipe": {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 5e-4, "batch_size": 50}},
    {"method": "snfs", "recipe": STEP | {"nesterov": True, "momentum": 0.85}, "multiplier": 0.7},
    {"method": "rigl", "recipe": {"epochs": 3.0, "label_smoothing": 0.1, "accumulation": 4}, "multiplier": 5.0},
    {"method": "pruning", "updates": {"delta_t": 7, "begin": 0.1, "end": 0.5}, "policy": {"classifier": "dense"}},
    {"method": "rigl", "updates": {"delta_t": 7, "alpha": 0.123456789, "anneal": "inverse-power"}, "rewind": 3},
]


def resolved(settings, tmp_path):
    parts = {"recipe": Recipe, "updates": Updates, "policy": Roles, "ticket": Ticket}
    own = {"recipe": {}} | settings
    length = {} if "epochs" in own["recipe"] else {"steps": 300}
    own["recipe"] = length | own["recipe"]
    own = {name: parts[name](**value) if name in parts else value for name, value in own.items()}
    config = RunConfig(**{"model": "lenet-300-100", "dataset": "digits", "backend": "torch", "sparsity": 0.9} | own)
    return prepare_all([Asked(config)], None, tmp_path)[0]


def typed(words, tmp_path):
    _, bound, _ = app.parse_args(shlex.split(" ".join(words))[1:], print_error=False, exit_on_error=False)
    config = RunConfig.model_validate(bound.arguments["settings"].model_dump())
    return bound.arguments, prepare_all([Asked(config)], None, tmp_path)[0]


@pytest.mark.parametrize("settings", CASES, ids=lambda settings: settings["method"])
def test_the_command_names_the_same_run(settings, tmp_path):
    pytest.importorskip("jax" if settings.get("backend") == "jax" else "torch")
    entry = resolved(settings, tmp_path)
    _, again = typed(command.train(entry.prepared.config), tmp_path)
    assert (again.id, again.prepared.config) == (entry.id, entry.prepared.config)


def test_tickets_weights_and_device():
    config = fixture.config(ticket=Ticket(source="a b", mask="shuffled"), weights="0" * 64)
    words = command.train(config, "cuda")
    assert [word for word in words if word.startswith(("--ticket", "--weights", "--device"))] == [
        "--ticket.source 'a b'", "--ticket.mask shuffled", "--weights WEIGHTS", "--device cuda",
    ]  # fmt: skip


def test_names_are_quoted_for_a_shell():
    words = command.train(fixture.config(method="x; rm -rf $HOME", model="timm/résumé"))
    assert "--method 'x; rm -rf $HOME'" in words
    assert "--model 'timm/résumé'" in words


@given(st.integers(1, 10**6), st.floats(1e-3, 100, allow_nan=False))
def test_lengths_at_any_multiplier(steps, multiplier):
    whole = max(1, round(multiplier * steps))
    words = command.train(fixture.config(recipe=Recipe(steps=whole), multiplier=multiplier))
    (option,) = [word for word in words if word.startswith("--recipe.steps ")]
    assert max(1, round(multiplier * int(option.split()[1]))) == whole


def test_a_length_that_no_steps_give_has_no_command():
    assert command.train(fixture.config(recipe=Recipe(steps=7), multiplier=5.0)) is None
