"""Suites: what they expand to, where they are found, and that every mistake in one is told at once."""

import tomllib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench import suite
from sparsebench.cli.only import only
from sparsebench.errors import UserError

ROOT = Path(__file__).parents[1]

MINIMAL = """
title = "t"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
steps = 10
[grid]
methods = ["rigl"]
sparsities = [0.5]
backends = ["torch"]
"""


def parse(text):
    return suite.parse(tomllib.loads(text), Path("s.toml"))


def configs(found):
    return [run.config for run in suite.runs(found)]


def changed(**grid):
    """The minimal suite with other values in its grid."""
    document = tomllib.loads(MINIMAL)
    document["grid"] |= grid
    return suite.parse(document, Path("s.toml"))


def mistakes(text):
    with pytest.raises(UserError) as caught:
        parse(text)
    return str(caught.value).splitlines()


def axes(run):
    return run.method, run.sparsity, run.distribution, run.multiplier, run.backend, run.seed


@given(
    methods=st.lists(st.sampled_from(["static", "set", "rigl", "pruning"]), unique=True, max_size=4),
    dense=st.booleans(),
    sparsities=st.lists(st.floats(0, 1, exclude_max=True), unique=True, min_size=1, max_size=3),
    distributions=st.lists(st.sampled_from(["uniform", "er", "erk"]), unique=True, min_size=1),
    multipliers=st.lists(st.sampled_from([0.5, 1.0, 5.0]), unique=True, min_size=1),
    backends=st.lists(st.sampled_from(["torch", "jax"]), unique=True, min_size=1),
    seeds=st.integers(1, 4) | st.lists(st.integers(0, 2**63 - 1), unique=True, min_size=1, max_size=3),
)
def test_a_grid_is_the_product_with_dense_once(methods, dense, sparsities, distributions, multipliers, backends, seeds):
    named = [*methods, "dense"] if dense or not methods else methods
    runs = configs(
        changed(
            methods=named, sparsities=sparsities, distributions=distributions, multipliers=multipliers,
            backends=backends, seeds=seeds,
        )
    )  # fmt: skip
    each = list(range(seeds)) if isinstance(seeds, int) else seeds
    expected = set(product(methods, sparsities, distributions, multipliers, backends, each))
    if "dense" in named:
        expected |= set(product(["dense"], [0.0], ["erk"], multipliers, backends, each))
    assert {axes(run) for run in runs} == expected
    assert len(runs) == len(expected)


def test_updates_are_common_settings_with_the_methods_own_on_top():
    text = MINIMAL.replace('["rigl"]', '["rigl", "set"]')
    parsed = parse(text + "\n[updates]\ndelta_t = 20\nalpha = 0.2\n[method.set]\nalpha = 0.5\n")
    updates = {run.method: run.updates for run in configs(parsed)}
    assert (updates["rigl"].delta_t, updates["rigl"].alpha) == (20, 0.2)
    assert (updates["set"].delta_t, updates["set"].alpha) == (20, 0.5)
    assert updates["set"].end is None


def test_seeds_of_a_cell_are_next_to_each_other():
    runs = configs(changed(sparsities=[0.5, 0.9], seeds=2))
    assert [run.seed for run in runs] == [0, 1, 0, 1]


# ---- several grids, variants, tickets, controls ---------------------------------------------------------------

STUDY = (
    MINIMAL
    + """
[search]
remove = 0.6
[variant.mnist]
dataset = "mnist"
[variant.adam]
recipe = { optimizer = "adam", learning_rate = 0.001 }
"""
)


def test_further_grids_add_runs_and_repeat_none():
    again = "[[also]]\nmethods = ['rigl', 'set']\nsparsities = [0.5]\nbackends = ['torch']\n"
    assert [run.method for run in configs(parse(MINIMAL + again))] == ["rigl"] * 3 + ["set"] * 3


def test_settings_of_updates_are_crossed_for_methods_that_update():
    found = configs(changed(methods=["rigl", "static"], seeds=1, updates={"delta_t": [5, 10], "alpha": [0.1, 0.3]}))
    assert [(run.method, run.updates.delta_t, run.updates.alpha) for run in found] == [
        ("rigl", 5, 0.1), ("rigl", 5, 0.3), ("rigl", 10, 0.1), ("rigl", 10, 0.3), ("static", None, None),
    ]  # fmt: skip


def test_a_variant_is_another_task_or_recipe():
    study = parse(STUDY.replace("[grid]", "[grid]\nvariants = ['base', 'mnist', 'adam']\nseeds = 1"))
    found = [(run.dataset, run.recipe.optimizer, run.recipe.steps) for run in configs(study)]
    assert found == [("digits", "sgd", 10), ("mnist", "sgd", 10), ("digits", "adam", 10)]


def test_a_ticket_is_a_run_of_another_method_or_variant():
    tickets = "[{}, { variant = 'mnist', weights = 'redrawn' }, { method = 'set', mask = 'shuffled' }]"
    study = parse(STUDY.replace("[grid]", f"[grid]\nseeds = 1\nmultipliers = [2.0]\ntickets = {tickets}"))
    home, away, other = suite.runs(study)
    assert {run.config.multiplier for run in (home, away, other)} == {2.0}
    sources = [run.source.config for run in (home, away, other)]
    assert [(s.method, s.dataset, s.multiplier) for s in sources] == [
        ("lottery", "digits", 1.0), ("lottery", "mnist", 1.0), ("set", "digits", 1.0),
    ]  # fmt: skip
    assert (away.config.ticket.weights, other.config.ticket.mask) == ("redrawn", "shuffled")
    assert home.source.source.config.method == "dense"


def test_controls_come_with_every_sparse_cell():
    study = parse("controls = true\n" + MINIMAL.replace('["rigl"]', '["rigl", "dense"]'))
    told = [(run.config.method, run.source and run.source.config.method) for run in suite.runs(study)]
    assert {name: told.count(name) for name in told} == {
        ("rigl", None): 3, ("dense", None): 3, ("small-dense", None): 3, ("static", None): 3, ("static", "rigl"): 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (STUDY.replace("[grid]", "[grid]\nvariants = ['mnst']"), "unknown variant 'mnst'"),
        (STUDY.replace("[grid]", "[grid]\ntickets = [{ variant = 'x' }]"), "unknown variant 'x'"),
        (STUDY.replace("remove = 0.6", "remove = 1.0"), "search.remove"),
        (STUDY.replace("learning_rate = 0.001", "learning_rte = 0.001"), "learning_rte"),
    ],
)
def test_mistakes_in_a_study_are_told(text, told):
    assert told in "\n".join(mistakes(text))


# ---- mistakes -------------------------------------------------------------------------------------------------

MANY = """
titel = "x"
[task]
model = "lenet-300"
dataset = 3
[recipe]
lerning_rate = 0.1
optimizer = "sdg"
momentum = 1.5
[method.rgl]
delta_t = 3
[method.set]
alpha = 2
[grid]
methods = ["rigle", "set", "set"]
backends = []
sparsities = [1.0, -0.1, nan, "x"]
seeds = 0
multipliers = 2
extra = 1
"""

TOLD = [
    ("title:", "missing"),
    ("titel:", "did you mean 'title'?"),
    ("task.model:", "did you mean 'lenet-300-100'?"),
    ("task.dataset:", "given 3"),
    ("recipe.lerning_rate:", "did you mean 'learning_rate'?"),
    ("recipe.optimizer:", "did you mean 'sgd'?"),
    ("recipe.momentum:", "given 1.5, should be less than 1"),
    ("recipe:", "exactly one of steps and epochs must be given"),
    ("method.rgl:", "unknown method 'rgl'"),
    ("method.set.alpha:", "given 2, should be less than or equal to 1"),
    ("grid.methods[0]:", "unknown method 'rigle': did you mean 'rigl'?"),
    ("grid.methods:", "listed more than once: set; list each value once"),
    ("grid.backends:", "at least one"),
    ("grid.sparsities[0]:", "given 1.0, should be less than 1"),
    ("grid.sparsities[1]:", "given -0.1, should be greater than or equal to 0"),
    ("grid.sparsities[2]:", "given nan, should be a finite number"),
    ("grid.sparsities[3]:", "given 'x', should be a valid number"),
    ("grid.seeds:", "given 0, allowed is a number of seeds from 1 to 10,000"),
    ("grid.multipliers:", "given 2, should be a list"),
    ("grid.extra:", "unknown setting 'extra'"),
]


def test_every_mistake_is_told_at_once_in_a_line_of_its_own():
    lines = mistakes(MANY)
    for where, what in TOLD:
        found = [line for line in lines if line.startswith(f"suite s.toml: {where}")]
        assert len(found) == 1, (where, lines)
        assert what in found[0]
    assert len(lines) == len(TOLD)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "task: missing"),
        (MINIMAL.replace("steps = 10", ""), "recipe: exactly one of steps and epochs"),
        (MINIMAL.replace("steps = 10", "steps = 10\nepochs = 1"), "recipe: exactly one of steps and epochs"),
        (MINIMAL.replace("steps = 10", "steps = 10\nepochs = -1"), "recipe: exactly one of steps and epochs"),
        (
            MINIMAL.replace("steps = 10", "steps = 10\nnesterov = true\nmomentum = 0"),
            "recipe.nesterov: nesterov needs momentum above 0",
        ),
        (MINIMAL.replace('["rigl"]', '["rigl", "rigl"]'), "grid.methods: listed more than once: rigl"),
        (MINIMAL.replace("[0.5]", "[0.5, 2, 0.50]"), "grid.sparsities: listed more than once: 0.5"),
        (MINIMAL + "seeds = [1, 1, -1]", "grid.seeds: listed more than once: 1"),
        (MINIMAL + "seeds = [1, -1]", "grid.seeds[1]: given -1"),
        (MINIMAL + "seeds = true", "grid.seeds: given True, should be a list"),
        ("grid = 3", "grid: given 3, should be a table"),
    ],
)
def test_mistakes_one_by_one(text, told):
    assert any(told in line for line in mistakes(text))


# ---- files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda path: path.stem)
def test_standard_suites_are_sound(path):
    assert configs(suite.load(str(path)))
    assert suite.load(path.stem).title == suite.load(str(path)).title


def test_quick_has_eighteen_cells_of_three_seeds():
    runs = configs(suite.load("quick"))
    assert len(runs) == 54
    assert len({axes(run)[:-1] for run in runs}) == 18


def test_the_current_folders_suites_come_first(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quick.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert suite.load("quick").title == "t"
    assert {"quick", "mlp"} <= set(suite.available())


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a =", "cannot be read as TOML"), (b"\xff\xfe", "cannot be read as TOML"), (None, "there is no suite file")],
)
def test_unreadable_files(tmp_path, content, told):
    path = tmp_path / "s.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        suite.load(str(path))


def test_an_unknown_name_lists_the_right_ones():
    with pytest.raises(UserError, match="unknown suite 'quik': did you mean 'quick'"):
        suite.load("quik")


# ---- a part of a suite ----------------------------------------------------------------------------------------


def test_only_keeps_what_matches_every_axis():
    runs = suite.runs(suite.load("quick"))
    kept = only(runs, "method=rigl,method=set,sparsity=0.9,backend=jax")
    kept = [run.config for run in kept]
    assert {axes(run)[:2] for run in kept} == {("rigl", 0.9), ("set", 0.9)}
    assert {run.backend for run in kept} == {"jax"}
    assert len(kept) == 6


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("methd=rigl", "did you mean 'method'"),
        ("sparsity=0.95", "allowed: 0, 0.9, 0.98"),
        ("rigl", "give pairs such as method=rigl"),
    ],
)
def test_only_refuses_what_is_not_there(wanted, told):
    with pytest.raises(UserError, match=told):
        only(suite.runs(suite.load("quick")), wanted)
