"""The methods: when they update and how much, what they claim, and that their files hold nothing but the method."""

import ast
import io
import sys
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import sparsebench.methods
from sparsebench import noise, plugins
from sparsebench.conformance import oracle
from sparsebench.errors import NonFiniteScoreError
from sparsebench.masks import budget, first_masks, host_noise
from sparsebench.method import LAWS, Event, Law, Local, Signals, gradient_magnitude, magnitude, random
from sparsebench.methods.dense import dense
from sparsebench.methods.pruning import pruning
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.static import static
from sparsebench.rewiring import rewire_on_host
from strategies import layer, seeds, shapes, sparsities

METHODS = {"dense": dense, "static": static, "set": set_, "rigl": rigl, "pruning": pruning}
ALL = tuple(METHODS.values())
FILES = sorted(Path(sparsebench.methods.__file__).parent.glob("*.py"))

rewiring = pytest.mark.parametrize("method", [rigl, set_], ids=lambda method: method.name)
lengths = st.integers(1, 400)
periods = st.integers(1, 60)


# ---- what they are --------------------------------------------------------------------------------------------


def test_they_are_found_by_name():
    assert {name: plugins.load("methods", name) for name in METHODS} == METHODS
    assert all(method.name == name for name, method in METHODS.items())


def test_published_defaults():
    for method in (rigl, set_):
        assert (method.delta_t, method.alpha, method.begin, method.end) == (100, 0.3, 0.0, 0.75)
        assert method.anneal == "cosine"
    # 10k to 25k of 32k steps
    assert (pruning.begin, pruning.end) == (10 / 32, 25 / 32)


def test_how_they_score():
    """RigL is SET but for what it grows and when: before the step, from its dense gradient."""
    assert (rigl.start, rigl.drop, rigl.grow) == (random, magnitude, gradient_magnitude)
    assert (set_.start, set_.drop, set_.grow) == (random, magnitude, random)
    assert pruning.drop == magnitude
    assert [method.name for method in METHODS.values() if method.needs_gradient] == ["rigl"]
    assert [method.name for method in METHODS.values() if method.initial_sparsity == 0] == ["dense", "pruning"]
    assert [method.name for method in METHODS.values() if method.dense] == ["dense"]


def test_claims():
    for method in (dense, static, set_, rigl):
        assert method.claims == LAWS == frozenset(Law) - {Law.MONOTONE}
    assert pruning.claims == frozenset(Law)


# ---- when they update -----------------------------------------------------------------------------------------


@rewiring
@given(steps=lengths, delta_t=periods, end=st.floats(0, 1), alpha=st.floats(0, 1))
def test_rewiring_events(method, steps, delta_t, end, alpha):
    method = replace(method, delta_t=delta_t, end=end, alpha=alpha)
    last = method.clock(steps).end
    found = method.events(steps)
    assert abs(last - end * steps) <= 0.5
    assert [event.iteration for event in found] == oracle.rewiring_iterations(steps, delta_t, last)
    for event in found:
        assert event.drop_fraction == pytest.approx(oracle.cosine_fraction(alpha, event.iteration, last), abs=1e-15)
        assert event.sparsity_share == 1.0
        assert event.replaces_step is (method.name == "rigl")


@rewiring
def test_rewiring_events_by_hand(method):
    found = method.events(1000)
    assert [event.iteration for event in found] == [100, 200, 300, 400, 500, 600, 700]
    # 0.15 · (1 + cos(π · i / 750)), from tables: cos 24° and cos 120°
    assert found[0].drop_fraction == pytest.approx(0.15 * 1.9135454576, abs=1e-11)
    assert found[4].drop_fraction == pytest.approx(0.15 * 0.5, abs=1e-15)


@rewiring
def test_a_longer_run_moves_the_end_and_leaves_the_period(method):
    assert [event.iteration for event in method.events(5000)] == list(range(100, 3750, 100))


@rewiring
def test_constant_annealing(method):
    assert {event.drop_fraction for event in replace(method, anneal="constant").events(1000)} == {0.3}


def test_dense_and_static_never_update():
    for method in (dense, static):
        assert method.events(10_000) == ()
        assert not method.updates


@given(steps=st.integers(4, 400), delta_t=periods, begin=st.integers(0, 60), length=st.integers(20, 39))
def test_pruning_events(steps, delta_t, begin, length):
    method = replace(pruning, delta_t=delta_t, begin=begin / 100, end=(begin + length) / 100)
    clock = method.clock(steps)
    if clock.begin >= clock.end:
        return
    found = method.events(steps)
    assert [event.iteration for event in found] == oracle.pruning_iterations(steps, delta_t, clock.begin, clock.end)
    for event in found:
        share = float(oracle.pruning_share(event.iteration, clock.begin, clock.end))
        assert event == Event(event.iteration, sparsity_share=pytest.approx(share, abs=1e-15))
    assert found[-1].sparsity_share == 1.0


def test_pruning_events_by_hand():
    """The published schedule: 10k to 25k of 32k, every 1k."""
    found = replace(pruning, delta_t=1000).events(32_000)
    assert [event.iteration for event in found] == list(range(10_000, 25_001, 1000))
    assert found[0].sparsity_share == 0.0
    assert found[5].sparsity_share == pytest.approx(1 - (2 / 3) ** 3)


@given(
    size=st.integers(0, 10_000), sparsity=sparsities, steps=st.integers(10, 400), delta_t=periods,
    method=st.sampled_from(ALL),
)  # fmt: skip
def test_active_counts_over_a_run(size, sparsity, steps, delta_t, method):
    """Pruning: never more, and exactly N − ⌊s·N⌋ at its end. All others: exactly that, always."""
    entries = layer((size,), "fc")
    goal = oracle.active(size, 0.0 if method.dense else sparsity)
    now = size if method.initial_sparsity == 0 else goal
    for event in replace(method, delta_t=delta_t).events(steps):
        counts = budget(method, [entries], {"fc": sparsity}, {"fc": now}, event)["fc"]
        if Law.MONOTONE in method.claims:
            assert counts.grown == 0
            assert counts.active <= now
        else:
            assert counts.active == now
        now = counts.active
    assert now == goal


# ---- their masks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [static, set_, rigl], ids=lambda method: method.name)
@settings(max_examples=40)
@given(shape=shapes, other=shapes, sparsity=sparsities, seed=seeds)
def test_sparse_methods_start_from_the_same_random_masks(method, shape, other, sparsity, seed):
    layers = (layer(shape, "fc1"), layer(other, "layer1.0.conv1"))
    weights = {f"{entries.name}.weight": np.zeros(entries.shape, np.float32) for entries in layers}
    shares = {"fc1": sparsity, "layer1.0.conv1": sparsity / 2}
    found = first_masks(method, layers, shares, weights, seed)
    assert list(found) == ["fc1", "layer1.0.conv1"]
    for entries in layers:
        drawn = oracle.noise_array(seed, 0, entries.name, "start", entries.shape)
        count = oracle.active(entries.size, shares[entries.name])
        assert_array_equal(found[entries.name], oracle.top(drawn, count, np.ones(entries.shape, bool)))


def test_dense_training_has_no_masks_and_pruning_starts_full():
    weights = {"fc.weight": np.zeros((9, 5), np.float32)}
    assert first_masks(dense, [layer((9, 5))], {"fc": 0.9}, weights, 0) == {}
    (mask,) = first_masks(pruning, [layer((9, 5))], {"fc": pruning.first(0.9)}, weights, 0).values()
    assert mask.all()


def test_a_start_that_is_not_finite_names_its_layer():
    bad = replace(static, start=lambda xp, layer, signals: signals.weight * np.float32(np.nan))
    with pytest.raises(NonFiniteScoreError, match="layer 'fc': the start score is not finite"):
        first_masks(bad, [layer((9, 5))], {"fc": 0.9}, {"fc.weight": np.ones((9, 5), np.float32)}, 0)


@settings(max_examples=25)
@given(shape=shapes, sparsity=sparsities, seed=seeds, delta_t=st.integers(1, 30), method=st.sampled_from(ALL))
def test_masks_over_a_run(shape, sparsity, seed, delta_t, method):
    """Weights move between updates; counts follow the plan, and what pruning takes away never returns."""
    entries, generator = layer(shape), np.random.default_rng(seed % 2**32)
    weights = {"fc.weight": np.zeros(shape, np.float32)}
    mask = first_masks(method, [entries], {"fc": method.first(sparsity)}, weights, seed).get("fc", np.ones(shape, bool))
    for event in replace(method, delta_t=delta_t).events(100):
        weight, gradient = generator.standard_normal((2, *shape), np.float32)
        counts = budget(method, [entries], {"fc": sparsity}, {"fc": int(mask.sum())}, event)["fc"]
        drawn = host_noise(entries, noise.key(seed, event.iteration, "fc"))
        new = rewire_on_host(method, entries, Signals(weight * mask, gradient, mask, drawn), counts).mask
        assert new.sum() == counts.active
        assert (new & mask).sum() >= counts.kept
        if Law.MONOTONE in method.claims:
            assert not (new & ~mask).any()
        mask = new
    assert mask.sum() == oracle.active(entries.size, 0.0 if method.dense else sparsity)


# ---- their scores ---------------------------------------------------------------------------------------------


def test_magnitudes():
    values = np.array([[-2.0, 0.5], [0.0, -0.0]], np.float32)
    signals = Signals(values, -3 * values, np.ones((2, 2), bool), None)
    assert magnitude(np, layer((2, 2)), signals).tolist() == [[2.0, 0.5], [0.0, 0.0]]
    assert gradient_magnitude(np, layer((2, 2)), signals).tolist() == [[6.0, 1.5], [0.0, 0.0]]


@pytest.mark.parametrize("method", ALL, ids=METHODS)
@pytest.mark.parametrize("role", ["start", "drop", "grow"])
def test_scores_are_local(method, role):
    """Scores of some entries are the same entries of all scores: what `Local` promises."""
    generator, places = np.random.default_rng(1), np.array([3, 4, 17, 59])
    weight, gradient, drawn = generator.standard_normal((3, 60), np.float32)
    mask = generator.random(60) < 0.5
    score = getattr(method, role)
    whole = score(np, layer((60,)), Signals(weight, gradient, mask, lambda purpose: drawn, role))
    some = Signals(weight[places], gradient[places], mask[places], lambda purpose: drawn[places], role)
    assert isinstance(score, Local)
    assert whole.dtype == np.float32
    assert_array_equal(score(np, layer((60,)), some), whole[places])


# ---- their files ----------------------------------------------------------------------------------------------


def imported(path):
    """Top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "relative" if node.level else node.module.partition(".")[0]


def code_lines(path):
    """Lines that hold code: no blank, no comment, no docstring."""
    source = path.read_text()
    tree = ast.parse(source)
    documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
    texts = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    inside = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    held = {line for t in tokens if t.type not in nothing for line in range(t.start[0], t.end[0] + 1)}
    return len(held - inside)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_import_the_harness_and_the_standard_library_only(path):
    assert set(imported(path)) <= {"sparsebench"} | sys.stdlib_module_names


def test_rigl_is_about_25_lines():
    path = next(path for path in FILES if path.stem == "rigl")
    assert 10 < code_lines(path) <= 30


def test_lines_of_code_are_counted(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(
        '"""Two\nlines."""\n\n# a comment\nx = [  # one\n    1,\n]\n\n\ndef f():\n    """No."""\n    return x\n'
    )
    assert code_lines(path) == 5
