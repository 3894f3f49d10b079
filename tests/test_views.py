"""Every view of the board in every format, from records to what the command line prints."""

import csv
import io
import json
import re

import pytest

import records_fixture as fixture
from records_fixture import row
from sparsebench_board.formats import FORMATS, FORMULA, formatted
from sparsebench_board.views import budget, frameworks, pareto, tied

pytest_plugins = ("command_line",)

CASES = [
    ("dense", 0.0, 1.0, 0.950), ("rigl", 0.9, 5.0, 0.951), ("rigl", 0.9, 1.0, 0.930), ("static", 0.9, 1.0, 0.800),
]  # fmt: skip
RATIOS = {("dense", 1.0): 1.0, ("rigl", 5.0): 0.5, ("rigl", 1.0): 0.1, ("static", 1.0): 0.1}
NOISE = {0: 0.001, 1: -0.002, 2: 0.0015}
VIEWS = {
    "tied": tied.view, "pareto": pareto.view, "frameworks": frameworks.view,
    "budget": lambda rows: budget.view(rows, (0.5, 1.0)),
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Records of four cells in two backends, of which static lacks a seed in one."""
    root = tmp_path_factory.mktemp("written") / "runs"
    for method, sparsity, multiplier, accuracy in CASES:
        for backend, shift in (("torch", 0.0), ("jax", 0.0005)):
            for seed, noise in NOISE.items():
                if (method, backend, seed) != ("static", "jax", 1):
                    recipe, ratio = lengthened(multiplier), RATIOS[method, multiplier]
                    config = fixture.config(method, sparsity, seed, backend, multiplier=multiplier, recipe=recipe)
                    reached = accuracy + noise + shift * (seed + 1) + (noise if method == "rigl" else 0)
                    costs = {"training_ratio": ratio, "training_flops": ratio * fixture.DENSE_TRAINING}
                    fixture.write(root, config, round(reached, 6), result=costs)
    return root


@pytest.fixture
def board(command, written):
    """Runs `sparsebench leaderboard` over those."""

    def run(*arguments):
        return command("leaderboard", "--records", written, *arguments)

    return run


def lengthened(multiplier):
    return fixture.Recipe(steps=round(fixture.STEPS * multiplier))


def lines(out):
    return [
        re.split(r"\s{2,}", line.strip()) for line in out if line.startswith(("dense", "rigl", "static", "0.5×", "1×"))
    ]


@pytest.mark.parametrize("view", ["table", *VIEWS])
@pytest.mark.parametrize("format", list(FORMATS))
def test_every_view_in_every_format(board, view, format):
    code, out, err = board("--view", view, "--format", format)
    text = "\n".join(out)
    assert (code, err) == (0, [])
    assert "static" in text or view == "budget"
    if format == "json":
        header = board("--view", view, "--format", "csv")[1][0].split(",")
        assert all((list(each), each["dataset"]) == (header, "digits") for each in json.loads(text))
    elif format == "csv":
        header, *entries = csv.reader(io.StringIO(text))
        assert entries
        assert all(len(entry) == len(header) for entry in entries)
    else:
        assert "lenet-300-100 on digits" in text
        assert "Student-t" in text


def test_tied(board):
    _, out, _ = board("--view", "tied")
    told = lines(out)
    assert [(each[0], each[2], each[5], each[6]) for each in told[:2]] == [
        ("dense", "1×", "–", "best"),
        ("dense", "1×", "–", "best"),
    ]
    assert any("left out, for they lack seeds: static 0.9 jax (no 1)" in line for line in out)
    assert any("corrected by Holm over all pairs" in line for line in out)
    entries = json.loads("\n".join(board("--view", "tied", "--format", "json")[1]))
    assert [(each["method"], each["backend"], each["best"], each["tests"]) for each in entries] == [
        ("dense", "jax", True, 0), ("dense", "torch", True, 0), ("rigl", "jax", True, 1), ("rigl", "jax", False, 1),
        ("rigl", "torch", True, 3), ("rigl", "torch", False, 3), ("static", "torch", False, 3),
    ]  # fmt: skip


def test_pareto(board):
    _, out, _ = board("--view", "pareto")
    assert any("share of resamples" in line for line in out)
    entries = json.loads("\n".join(board("--view", "pareto", "--format", "json")[1]))
    found = {(each["method"], each["multiplier"], each["backend"]): each for each in entries}
    assert len(found) == 7
    assert found["rigl", 5.0, "jax"]["training_flops_front"] is True
    assert found["rigl", 5.0, "jax"]["bytes_chance"] == pytest.approx(1.0)
    assert found["static", 1.0, "torch"]["training_flops_front"] is False
    assert found["static", 1.0, "torch"]["training_flops_chance"] == 0.0
    assert found["dense", 1.0, "jax"]["inference_flops"] == fixture.DENSE_INFERENCE


def test_budget(board):
    _, out, _ = board("--view", "budget", "--budget", "0.05,0.5,1")
    assert [(each[0], each[1], each[3]) for each in lines(out) if "best of" in " ".join(each)] == [
        ("0.5×", "rigl", "5×"), ("1×", "rigl", "5×"),
    ]  # fmt: skip
    assert any("no row costs as little as 0.05×" in line for line in out)
    assert any(each[:2] == ["1×", "dense"] for each in lines(out)), "tied with the long sparse run"


def test_frameworks(board):
    _, out, _ = board("--view", "frameworks")
    told = lines(out)
    assert [each[0] for each in told] == ["dense", "rigl", "rigl", "static"]
    assert told[0][5] == "-0.10 ± 0.12"
    assert told[3][-1] == "0, 2"
    _, text, _ = board("--view", "frameworks", "--format", "csv")
    entries = list(csv.DictReader(io.StringIO("\n".join(text))))
    assert [float(each["difference"]) for each in entries] == pytest.approx([-0.001] * 4)
    assert {(each["first_backend"], each["second_backend"]) for each in entries} == {("torch", "jax")}


def test_rows_in_one_backend_alone_are_told_apart_or_counted():
    rows = [row(cell=f"c{k}", twin=f"t{k}", backend="jax", multiplier=float(k + 1)) for k in range(7)]
    notes = [frameworks.view(rows[:count]).sheets[0].notes[-1] for count in (2, 7)]
    assert notes[0].count(rows[0].method) == 2
    assert [length in notes[0] for length in (" 1× jax", " 2× jax")] == [True, True]
    assert notes[1] == "in one backend alone: 7 rows"


def test_against_adds_its_columns(board):
    _, out, _ = board("--against", "static", "--format", "md")
    (header,) = [line for line in out if line.startswith("| method")]
    assert "| against static | p | could show |" in header
    assert any("Holm over the rows of the same sparsity and backend" in line.replace("\\", "") for line in out)


def test_references_stand_below(board):
    code, out, _ = board("--references")
    assert (code, any("published" in line for line in out)) == (0, False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--view", "tied", "--against", "static"), "error: --against is for --view table, given --view tied"),
        (("--view", "pareto", "--references"), "error: --references is for --view table, given --view pareto"),
        (("--budget", "1"), "error: --budget is for --view budget, given --view table"),
        (("--view", "budget", "--budget", "all"), "error: --budget 'all': give shares of dense training FLOPs above 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(board, options, told):
    code, out, err = board(*options)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(told)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("evil", ["=1+1", "@x", "a|b", "\x1b[31m", "<script>", "[red]x"])
def test_names_are_text(name, evil):
    shown = VIEWS[name]([row(method=evil, cell="a"), row(method=evil, cell="b", backend=evil, training_ratio=0.2)])
    table, md, text = (formatted(shown, format) for format in ("table", "md", "csv"))
    assert all(character.isprintable() for character in (table + md + text).replace("\n", ""))
    bars = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in md.split("\n") if line.startswith("|")}
    assert len(bars) == 1
    assert "<script>" not in md
    assert not any(
        cell.startswith(FORMULA) and not re.fullmatch(r"-?[\d.e-]+", cell)
        for line in csv.reader(io.StringIO(text))
        for cell in line
    )


@pytest.mark.parametrize("name", VIEWS)
def test_an_empty_board_has_no_sheets_and_all_fields(name):
    shown = VIEWS[name]([])
    assert formatted(shown, "table").startswith("no finished runs yet")
    assert json.loads(formatted(shown, "json")) == []
    assert "method" in formatted(shown, "csv") or name == "frameworks"


def test_many_seeds_say_so():
    seeds = tuple(range(8))
    many = row(accuracies=tuple(0.9 + seed / 100 for seed in seeds), seeds=seeds, accuracy_interval="bca")
    text = formatted(tied.view([many]), "table")
    assert "97.21 [96.86, 97.56]" in text
    assert "95 % BCa bootstrap interval over 8 seeds or more" in text
