"""Cells of which a seed diverged: listed, told of, and ranked nowhere, as if they were not there for all that rank."""

import math
import shutil
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import picture_records
import records_fixture as fixture
from sparsebench import records
from sparsebench_board import site, tracking
from sparsebench_board.entries import CELL, KIND
from sparsebench_board.formats import formatted
from sparsebench_board.mirror import Outcome, mirror
from sparsebench_board.mirrored import read_all
from sparsebench_board.paired import compared
from sparsebench_board.pictures import KINDS
from sparsebench_board.rows import rows
from sparsebench_board.table import board
from sparsebench_board.views import against, budget, frameworks, pareto, tied

pytest_plugins = ("mlflow_store",)

METHODS = (("dense", 0.0), ("static", 0.9), ("rigl", 0.9), ("set", 0.9))
SEEDS = (0, 1, 2)
CASES = [(method, sparsity, backend) for method, sparsity in METHODS for backend in ("torch", "jax")]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """(case, seed) -> its record if it reached its end, and its record if it diverged."""
    root, found = tmp_path_factory.mktemp("pool"), {}
    for k, (method, sparsity, backend) in enumerate(CASES):
        for seed in SEEDS:
            config = fixture.config(method, sparsity, seed, backend)
            whole = fixture.write(root / "whole", config, 0.9 + 0.003 * k + 0.002 * seed * (-1) ** (k // 2))
            found[k, seed] = whole, fixture.diverge(root / "lost", config)
    return found


@pytest.fixture(scope="module")
def some(pool):
    """A seed of rigl in torch diverged, and all of set in jax: the records, and the rows."""
    lost = {(CASES.index(("rigl", 0.9, "torch")), 2), *((CASES.index(("set", 0.9, "jax")), seed) for seed in SEEDS)}
    found = [each[key in lost] for key, each in pool.items()]
    return found, rows(found)


def row_of(rows, method, backend):
    return next(row for row in rows if (row.method, row.backend) == (method, backend))


# ---- rows -----------------------------------------------------------------------------------------------------


def test_a_mean_over_what_is_left_is_marked_and_last(some):
    _, told = some
    row = row_of(told, "rigl", "torch")
    assert (row.seeds, row.diverged, row.missing, row.ranked) == ((0, 1), (2,), (), False)
    assert row.accuracy == statistics.mean(row.accuracies)
    assert len(row.accuracies) == 2
    assert row.training_flops == pytest.approx(0.1 * fixture.DENSE_TRAINING), "of those that reached their end"
    assert [each.method for each in told[-2:]] == ["rigl", "set"], "below all others"
    text = formatted(board(told), "table")
    assert "†" in next(line for line in text.splitlines() if line.startswith("rigl") and "torch" in line)
    assert "0–1, 2 diverged" in text
    for note in ("24 runs (4 diverged) in 8 cells, seeds 0–2", "†: mean over the seeds that did not diverge"):
        assert note in " ".join(text.split())


def test_a_cell_without_an_end_has_no_mean(some):
    _, told = some
    row = row_of(told, "set", "jax")
    assert (row.accuracy, row.accuracy_ci95, row.seeds, row.diverged) == (None, None, (), (0, 1, 2))
    assert row.training_flops == pytest.approx(fixture.DENSE_TRAINING / 4), "what it executed until then"
    line = next(x for x in formatted(board(told), "table").splitlines() if x.startswith("set") and "jax" in x)
    assert line.split()[3] == "diverged"
    assert line.endswith("0–2 diverged")
    assert "null" in formatted(board(told), "json")


@settings(max_examples=25)
@given(st.sets(st.tuples(st.integers(0, len(CASES) - 1), st.sampled_from(SEEDS)), min_size=1, max_size=12))
def test_whatever_ranks_is_as_if_the_others_were_not_there(pool, lost):
    """Ties with their Holm families, fronts, budgets, frameworks and baselines."""
    touched = {k for k, _ in lost}
    everything = rows([each[key in lost] for key, each in pool.items()])
    ranked = rows([whole for (k, _), (whole, _) in pool.items() if k not in touched])
    assert [row for row in everything if row.ranked] == ranked
    for view in (tied.view, pareto.view, frameworks.view, lambda rows: budget.view(rows, (0.5, 1, 2))):
        assert view(everything).entries == view(ranked).entries
    for method in {row.method for row in ranked}:
        own = {row.cell: row.difference for row in compared(ranked, method)}
        assert {row.cell: row.difference for row in compared(everything, method) if row.cell in own} == own
        assert all(row.difference is None for row in compared(everything, method) if not row.ranked)
        assert against.view(everything, method).entries == against.view(ranked, method).entries


def test_views_name_what_they_leave_out(some):
    _, told = some
    for view in (tied.view(told), pareto.view(told), budget.view(told, (1,)), frameworks.view(told)):
        assert "left out, for seeds of theirs diverged: rigl 0.9 torch (2), set 0.9 jax (0–2)" in view.sheets[0].notes
        assert not any("in one backend alone" in note for note in view.sheets[0].notes)


def test_a_seed_that_diverged_everywhere_is_no_reason_to_rank(pool):
    """No row has it then: none ranks, and none is said to lack it."""
    told = rows([each[seed == 1] for (_, seed), each in pool.items()])
    assert not any(row.ranked or row.missing for row in told)
    assert all(row.diverged == (1,) for row in told)


def test_who_lacks_a_seed_that_diverged_elsewhere_lacks_it(pool):
    told = rows([each[(k, seed) == (0, 2)] for (k, seed), each in pool.items() if (k, seed) != (1, 2)])
    assert row_of(told, "dense", "torch").diverged == row_of(told, "dense", "jax").missing == (2,)


# ---- pages and pictures ---------------------------------------------------------------------------------------


def test_pages_say_so(some, tmp_path):
    found, told = some
    site.write(found, tmp_path / "site", kinds={})
    pages = {path.name: path.read_text() for path in (tmp_path / "site" / "cells").glob("*.html")}
    (one,) = (text for name, text in pages.items() if row_of(told, "rigl", "torch").cell[:6] in name)
    (none,) = (text for name, text in pages.items() if row_of(told, "set", "jax").cell[:6] in name)
    assert "Seed 2 diverged at iteration 150: the training loss is nan." in one
    assert "The mean is over the other seeds, which flatters; it ranks with nothing." in one
    assert one.count(">diverged</td>") == 1
    assert none.count(">diverged</td>") == 3
    assert "This cell has no accuracy" in none
    assert "ranks with nothing" not in next(text for text in pages.values() if text not in (one, none))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Records for pictures: two of three seeds of rigl 0.98 in torch diverged, and all of set in jax."""
    root = tmp_path_factory.mktemp("drawn")
    whole = picture_records.made(root)
    cases = (("rigl", "torch", (1, 2)), ("set", "jax", SEEDS))
    lost = [(method, 0.98, seed, backend) for method, backend, seeds in cases for seed in seeds]
    for record in whole:
        config = record.config
        if (config.method, config.sparsity, config.seed, config.backend) in lost:
            shutil.rmtree(record.path)
            fixture.diverge(root, config)
    return records.read_all(root)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.whole])
def test_pictures_are_drawn_without_them(drawn, name):
    svg = KINDS[name].svg(drawn)
    if name in ("training-flops", "inference-flops", "sparsity"):
        assert "not drawn, for every seed diverged: set 0.98 jax" in svg
    if name == "matrix":
        assert "diverged" in svg


def test_curves_end_where_a_seed_does(drawn):
    svg = KINDS["curves"].svg([each for each in drawn if (each.config.method, each.config.sparsity) == ("rigl", 0.98)])
    assert "seeds 1–2 diverged" in svg
    assert "a line ends where a seed of it diverged" in svg


# ---- MLflow ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's, on import
def test_mlflow_says_so_and_tells_the_same_rows(pool, some, migrated, tmp_path):
    keep = [("rigl", "torch"), ("set", "jax"), ("static", "torch")]
    found = [each for each in some[0] if (each.config.method, each.config.backend) in keep]
    uri = f"sqlite:///{shutil.copy(migrated, tmp_path / 'mlflow.db')}"
    assert mirror(found, uri, tmp_path / "files") == Outcome(new=9)
    assert mirror(found, uri, tmp_path / "files") == Outcome(present=9), "those that failed are whole"
    assert rows(read_all(uri)) == rows(found)

    client = tracking.connect(uri)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    cells = client.search_runs([experiment], f"tags.`{KIND}` = 'cell'", order_by=["metrics.accuracy_percent DESC"])
    assert cells[0].data.tags["method"] == "static", "the others have no number to be the first by"
    metrics = {run.data.tags[CELL]: run.data.metrics for run in cells}
    assert [metrics[row.cell].get("diverged") for row in rows(found)] == [None, 1, 3]
    assert [metrics[row.cell]["seeds"] for row in rows(found)] == [3, 2, 0]
    assert [math.isnan(metrics[row.cell]["accuracy"]) for row in rows(found)] == [False, True, True]
    runs = client.search_runs([experiment], f"tags.`{KIND}` = 'run'")
    lost = [run for run in runs if run.info.status == "FAILED"]
    assert len(lost) == 4
    assert {run.data.tags["diverged"] for run in lost} == {"diverged at iteration 150: the training loss is nan"}
    assert not any("accuracy" in run.data.metrics for run in lost)
    assert not any("diverged" in run.data.tags for run in runs if run not in lost)

    redone = [pool[CASES.index((each.config.method, each.config.sparsity, each.config.backend)), each.config.seed][0]
              for each in found if each.config.method == "rigl"]  # fmt: skip
    assert mirror(redone, uri, tmp_path / "files") == Outcome(present=2, replaced=1)
    now = client.get_run(next(run.info.run_id for run in cells if run.data.tags["method"] == "rigl")).data.metrics
    assert (now["diverged"], now["seeds"], now["accuracy"]) == (0, 3, rows(redone)[0].accuracy)
