"""Cards: one for each method, in agreement with its value and its formula; `sparsebench show method` prints them."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

import toy
from isolated import python
from sparsebench import plugins, shipped
from sparsebench.cli.show import SETTINGS
from sparsebench.formulas import FORMULAS
from sparsebench.shipped import card

pytest_plugins = ("command_line", "isolated")

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
METHODS = sorted(PYPROJECT["project"]["entry-points"]["sparsebench.methods"])
SECTIONS = ["Equations", "Source", "Choices", "Defaults", "Cost"]
UPDATING = [
    "may just-dropped connections regrow", "value and moments of grown ones",
    "update before, after or instead of the step", "gradient of which batch", "first and last layer", "rounding",
    "ties", "schedule's clock",
]  # fmt: skip
MINE = """
from dataclasses import replace
from sparsebench.methods.rigl import rigl
mine = replace(rigl, name="mine", summary="grows what I like", source="nobody, 2026", alpha=0.125, claims=frozenset())
"""


def section(text, title):
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def table(text):
    """The rows of a section's table under its heading, as lists of cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert {len(row) for row in rows} == {3}
    assert rows[1] == ["---"] * 3
    return rows[0], rows[2:]


@pytest.fixture(params=METHODS)
def method(request):
    return plugins.load("methods", request.param)


def test_a_card_has_every_section_in_order(method):
    text = card(method.name)
    assert text.startswith(f"# {method.name}\n\n{method.summary}\n\n## ")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert [title for title in SECTIONS if not section(text, title).strip()] == []
    assert 30 <= len(text.splitlines()) <= 60


def test_a_card_names_the_papers_of_its_method(method):
    source = section(card(method.name), "Source")
    assert re.search(r"arXiv:\d{4}\.\d{5}", source)
    assert [number for number in re.findall(r"arXiv:[\d.]+\d", method.source) if number not in source] == []


def test_a_card_tells_every_choice_of_an_update(method):
    heading, rows = table(section(card(method.name), "Choices"))
    assert heading == ["choice", "the paper (or its code)", "here"]
    assert all(all(row) for row in rows)
    told = [row[0] for row in rows]
    assert [choice for choice in UPDATING if choice not in told] == [] or not method.updates


def test_a_cards_defaults_are_the_values(method):
    heading, rows = table(section(card(method.name), "Defaults"))
    assert heading == ["setting", "value", "read"]
    read = {name: "yes" if method.updates and name not in method.unread else "no" for name in SETTINGS}
    assert rows == [[name, str(getattr(method, name)), read[name]] for name in SETTINGS]


def test_a_cards_cost_is_the_ledgers_formula(method):
    formula = re.split(r"[;:,.]", FORMULAS[method.name].__doc__)[0]
    assert re.search(rf"{re.escape(formula)}(?!\w)", section(card(method.name), "Cost"))


# ---- the command ----------------------------------------------------------------------------------------------


def test_show_prints_the_markdown_where_there_is_no_terminal(command, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name in METHODS:
        code, out, err = command("show", "method", name)
        assert (code, err) == (0, [])
        assert out == (ROOT / "docs" / "methods" / f"{name}.md").read_text().splitlines()


def test_show_renders_on_a_terminal(command, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = command("show", "method", "rigl")
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in out]
    assert code == 0
    assert plain != out
    assert [line for line in plain if line.startswith(("#", "|")) or "```" in line] == []
    assert max(map(len, plain)) <= 100
    assert "grow = the n entries not in keep with the largest |∂L_i/∂w|" in "\n".join(plain)


def test_a_method_without_a_card_speaks_for_itself(command, folder, monkeypatch):
    site = folder.parent / "site"
    (site / "toy_mine.py").write_text(MINE)
    toy.install(site, "minebox", "[sparsebench.methods]\nmine = toy_mine:mine\n")
    plugins._entries.cache_clear()
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    code, out, err = command("show", "method", "mine")
    sys.modules.pop("toy_mine")
    assert (code, err) == (0, [])
    assert out[:3] == ["# mine", "", "grows what I like"]
    text = "\n".join(out)
    assert section(text, "Source").strip() == "nobody, 2026"
    assert ["alpha", "0.125", "yes"] in table(section(text, "Defaults"))[1]
    assert section(text + "\n", "Claims").strip() == "none"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["method", "rigll"], ["unknown method 'rigll'", "did you mean 'rigl'?"]),
        (["method", "../methods/rigl"], ["unknown method"]),
        (["method", "broken"], ["'broken' of package 'toybox'", "cannot be loaded"]),
        (["model", "rigl"], ["See `sparsebench show --help`."]),
        (["method"], ["See `sparsebench show --help`."]),
    ],
)
def test_show_refuses_in_one_line(command, words, told):
    code, out, err = command("show", *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert [part for part in told if part not in err[0]] == []


def test_show_needs_no_framework(without):
    assert "card" in python("-m", "sparsebench.cli", "show", "--help", **without)
    assert python("-m", "sparsebench.cli", "show", "method", "set", **without).startswith("# set\n")


# ---- where cards are found ------------------------------------------------------------------------------------


def test_a_wheel_carries_the_cards_where_they_are_looked_for(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "sparsebench"
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    assert shipped.roots() == (package,)
    assert card("rigl") is None
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    carried = included["docs/methods"]
    (package.parent / carried).mkdir(parents=True)
    (package.parent / carried / "rigl.md").write_text("# rigl\n")
    assert card("rigl") == "# rigl\n"
    rules = package.parent / included["leaderboard/RULES.md"]
    rules.parent.mkdir(parents=True)
    rules.write_text("# rules\n")
    assert shipped.text("leaderboard/RULES.md") == "# rules\n"
