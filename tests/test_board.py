"""The board: known statistics, rows that say what they are made of, and formats that survive any name."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import records_fixture as fixture
from records_fixture import row
from sparsebench.config import Recipe, Updates
from sparsebench.errors import UserError
from sparsebench_board import labels
from sparsebench_board.formats import FORMATS, FORMULA, NOTHING, WIDTH, defused
from sparsebench_board.intervals import half_width, mean
from sparsebench_board.paired import difference
from sparsebench_board.rows import Row, rows
from sparsebench_board.table import render

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=7)
names = st.text(max_size=12) | st.sampled_from(
    ["[red]x[/red]", "a|b", "`c`", "x\\|y", "\x1b[31m", "=1+1", 'q"u,o', "n\nl"]
)


# ---- statistics -----------------------------------------------------------------------------------------------


def test_interval_of_three_values_from_the_tables():
    # t(0.975, 2) = 4.302653 in any table; s = 1, n = 3
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert half_width([0.5]) is None


@given(accuracies)
def test_interval_is_scipys(values):
    spread = np.std(values, ddof=1) / math.sqrt(len(values))
    low, high = stats.t.interval(0.95, len(values) - 1)
    assert half_width(values) == pytest.approx((high - low) / 2 * spread, rel=1e-9, abs=1e-12)
    assert mean(values) == pytest.approx(sum(values) / len(values))


@given(st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 10**4)), min_size=2, max_size=7))
def test_paired_difference_is_scipys(pairs):
    ours, theirs = ([value / 10**4 for value in side] for side in zip(*pairs, strict=True))
    seeds = tuple(range(len(pairs)))
    found = difference(row(seeds=seeds, accuracies=tuple(ours)), row(seeds=seeds, accuracies=tuple(theirs)))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if max(differences) - min(differences) < 1e-9:
        assert found.ci95 == pytest.approx(0, abs=1e-9)
        return
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.mean - found.ci95 == pytest.approx(interval.low, abs=1e-9)
    assert found.mean + found.ci95 == pytest.approx(interval.high, abs=1e-9)


def test_paired_difference_takes_common_seeds_only():
    ours, theirs = row(seeds=(0, 2, 3), accuracies=(0.9, 0.8, 0.1)), row(seeds=(0, 1, 2), accuracies=(0.7, 0.0, 0.6))
    found = difference(ours, theirs)
    assert (found.seeds, found.mean, found.clear) == ((0, 2), pytest.approx(0.2), True)
    alone = difference(row(seeds=(0,), accuracies=(0.9,)), theirs)
    assert (alone.ci95, alone.clear) == (None, False)
    with pytest.raises(UserError, match="none in common"):
        difference(row(seeds=(7,), accuracies=(0.9,)), theirs)


def test_missing_scipy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(UserError, match=re.escape("pip install 'sparsebench[board]'")):
        half_width([0.1, 0.2])


# ---- rows -----------------------------------------------------------------------------------------------------


def test_a_row_is_its_cells_records(tmp_path):
    found = [
        fixture.write(tmp_path, fixture.config(seed=seed), value, result={"steps_per_second": speed})
        for seed, value, speed in [(2, 0.93, 900.0), (0, 0.91, 100.0), (1, 0.92, 300.0)]
    ]
    (only,) = rows(found)
    assert (only.seeds, only.accuracies, only.missing) == ((0, 1, 2), (0.91, 0.92, 0.93), ())
    assert only.accuracy == pytest.approx(0.92)
    assert only.accuracy_ci95 == pytest.approx(4.302653 * 0.01 / math.sqrt(3), abs=1e-7)
    assert only.steps_per_second == 300.0
    assert only.training_flops == pytest.approx(0.1 * fixture.DENSE_TRAINING)
    assert (only.training_ratio, only.inference_ratio, only.bytes) == (0.1, 0.1, 525)
    assert only.run_ids == tuple(record.id for record in sorted(found, key=lambda record: record.config.seed))
    assert only.settings == {}
    assert only.versions["sparsebench"] == "0.1.0 (0123456789ab)"


def test_order_is_benchmark_then_sparsity_then_accuracy_and_incomplete_rows_last(tmp_path):
    cases = [("rigl", 0.98, 0.80), ("set", 0.9, 0.85), ("rigl", 0.9, 0.90), ("dense", 0.0, 0.95)]
    found = [fixture.write(tmp_path, fixture.config(m, s, seed), a) for m, s, a in cases for seed in (0, 1)]
    found += [fixture.write(tmp_path, fixture.config("static", 0.9, 1), 0.99)]
    found += [fixture.write(tmp_path, fixture.config("static", 0.9, 7, dataset="a-mnist"), 0.5)]
    shown = [(r.dataset, r.method, r.sparsity, r.missing) for r in rows(found)]
    assert shown == [
        ("a-mnist", "static", 0.9, ()),
        ("digits", "dense", 0.0, ()),
        ("digits", "rigl", 0.9, ()),
        ("digits", "set", 0.9, ()),
        ("digits", "rigl", 0.98, ()),
        ("digits", "static", 0.9, (0,)),
    ]
    assert next(r.distribution for r in rows(found) if r.method == "dense") == "–"


def test_cells_that_differ_in_settings_stay_apart_and_say_how(tmp_path):
    slow = Updates(delta_t=50, alpha=0.3, begin=0.0, end=0.75, anneal="cosine")
    gentle = Recipe(steps=fixture.STEPS, learning_rate=0.05)
    configs = [
        fixture.config(),
        fixture.config(updates=slow),
        fixture.config("set"),
        fixture.config("static", updates=Updates()),
        fixture.config("static", updates=Updates(), recipe=gentle),
    ]
    found = rows([fixture.write(tmp_path, config, 0.9) for config in configs])
    told = sorted(
        (r.method, r.settings.get("delta_t"), r.settings["learning_rate"]) for r in found if r.method == "rigl"
    )
    assert told == [("rigl", 20, 0.1), ("rigl", 50, 0.1)]
    assert [r.settings for r in found if r.method == "set"] == [{"learning_rate": 0.1}]
    assert sorted(r.settings["learning_rate"] for r in found if r.method == "static") == [0.05, 0.1]


def test_a_multiplier_explains_its_steps(tmp_path):
    long = fixture.config(multiplier=5.0, recipe=Recipe(steps=5 * fixture.STEPS), seed=1)
    found = rows([fixture.write(tmp_path, config, 0.9) for config in (fixture.config(), long)])
    assert [(r.multiplier, r.settings, r.missing) for r in sorted(found, key=lambda r: r.multiplier)] == [
        (1.0, {}, (1,)),
        (5.0, {}, (0,)),
    ]


def test_other_data_and_other_numerics_are_other_cells(tmp_path):
    variants = [{}, {"data": "e" * 64}, {"numerics": 2}]
    found = rows([fixture.write(tmp_path, fixture.config(), 0.9, **variant) for variant in variants])
    assert len(found) == 3
    told = {(r.settings["data"], r.settings["method_numerics"]) for r in found}
    assert told == {("d" * 12, 1), ("e" * 12, 1), ("d" * 12, 2)}


@pytest.mark.parametrize("value", [None, "0.9", math.inf, True])
def test_a_result_without_its_numbers_is_refused_by_name(tmp_path, value):
    record = fixture.write(tmp_path, fixture.config(), 0.9)
    broken = replace(record, result=record.result | {"accuracy": value})
    with pytest.raises(UserError, match="accuracy, not a finite number"):
        rows([broken])


def test_importing_the_board_imports_no_mlflow():
    code = "import sys; from sparsebench_board import mirror, rows, table, ui; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- formats --------------------------------------------------------------------------------------------------


def test_numbers_as_people_read_them():
    assert labels.percent(0.97214, 0.00351) == "97.21 ± 0.35"
    assert labels.percent(0.5, None) == "50.00"
    assert [labels.ratio(value) for value in (1.0, 0.1234, 0.02, 5.0, 0.0996)] == [
        "1.00×",
        "0.12×",
        "0.020×",
        "5.00×",
        "0.10×",
    ]
    assert [labels.amount(n, "B") for n in (0, 999, 1000, 66_400, 1.5e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "66 kB",
        "1.5 GB",
    ]
    assert labels.spans((0, 1, 2, 5, 7, 8)) == "0–2, 5, 7–8"


@given(st.sets(st.integers(0, 40), min_size=1))
def test_spans_name_every_seed(numbers):
    ends = [part.split("–") for part in labels.spans(sorted(numbers)).split(", ")]
    assert {n for part in ends for n in range(int(part[0]), int(part[-1]) + 1)} == numbers


@given(names, names)
def test_json_parses_back(method, model):
    (found,) = json.loads(render([row(method=method, model=model)], "json"))
    assert found == json.loads(json.dumps(asdict(row(method=method, model=model))))
    assert (found["method"], found["model"], found["accuracy_ci95"]) == (method, model, 0.0035)


@given(names, names)
def test_csv_parses_back(method, model):
    shown = render([row(method=method, model=model, settings={"delta_t": 20})], "csv")
    header, values = csv.reader(io.StringIO(shown, newline=""))
    found = dict(zip(header, values, strict=True))
    assert header == [field.name for field in fields(Row)]
    assert (found["method"], found["model"]) == (defused(labels.plain(method)), defused(labels.plain(model)))
    assert not any(text.startswith(FORMULA) for text in values), "no spreadsheet computes any"
    assert (found["seeds"], found["settings"]) == ("0 1 2", "delta_t=20")
    assert float(found["accuracy"]) == 0.9721


@given(names, names)
def test_markdown_keeps_its_columns(method, model):
    lines = render([row(method=method, model=model)], "md").split("\n")
    table = [line for line in lines if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table]
    assert bars == [10, 10, 10]
    first = re.match(r"\| ((?:\\.|[^\\|])*) \|", table[-1])
    assert re.sub(r"\\(.)", r"\1", first[1]) == labels.plain(method)


@settings(deadline=None)
@given(names, names)
def test_tables_steer_no_terminal(method, model):
    shown = render([row(method=method, model=model)], "table")
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert max(map(len, shown.split("\n"))) <= WIDTH


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1, max_size=60), st.sampled_from(["60", "80", "140"]))
def test_narrow_terminals_break_names_and_never_numbers(name, columns):
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("COLUMNS", columns)):
            patch.setenv(variable, value)
        shown = render([row(method=name, missing=(5,), settings={"learning_rate": 0.1})], "table")
    assert all(text in shown for text in ("97.21 ± 0.35", "0.12×", "0.10×", "66 kB", "1,234", "learning_rate=0.1"))


def test_the_table_shows_names_as_they_are():
    shown = render([row(method="[red]x[/red]", model="[bold]m")], "table")
    assert "[red]x[/red]" in shown
    assert shown.startswith("[bold]m on digits\n")


def test_a_terminal_gets_colour_and_its_width(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1m" in render([row()], "table")
    assert "\x1b" not in render([row(method="\x1b[31m")], "md")


def test_tables_begin_with_trials_hardware_and_versions():
    lines = render([row(), row(backend="jax", versions={"sparsebench": "0.1.0", "jax": "0.10"})], "table").split("\n")
    assert lines[:4] == [
        "mlp on digits",
        "6 runs in 2 cells, seeds 0–2",
        "Example CPU, 2 threads, device cpu",
        "sparsebench 0.1.0, torch 2.11, jax 0.10",
    ]
    assert any(
        re.search(r"rigl .* 0\.9 .* torch .* 97\.21 ± 0\.35 .* 0\.12× .* 0\.10× .* 66 kB .* 1,23", x) for x in lines
    )


def test_columns_appear_when_they_say_something():
    assert "settings" not in render([row()], "md")
    shown = render([row(settings={"delta_t": 20}), row(settings={"delta_t": 50}, multiplier=5.0, missing=(3, 4))], "md")
    assert "delta\\_t=20" in shown
    assert "| 5× |" in shown
    assert "distrib." not in shown
    assert "| 0.9 | er |" in render([row(), row(distribution="er")], "md")
    assert "0–2, no 3–4" in shown


def test_an_empty_board_says_so():
    assert render([], "table") == render([], "md") == NOTHING + "\n"
    assert json.loads(render([], "json")) == []
    assert render([], "csv").startswith("cell,model,dataset,")


def test_unknown_format_names_the_right_ones():
    with pytest.raises(UserError, match="unknown format 'jsn': did you mean 'json'"):
        render([], "jsn")
    assert set(FORMATS) == {"table", "md", "csv", "json"}
