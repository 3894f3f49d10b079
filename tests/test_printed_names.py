"""Names come from files of strangers: printed they steer no terminal, and in commands they are words."""

import ast
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import records_fixture as fixture
from sparsebench import seals
from sparsebench.cli import listing, main
from sparsebench.doctor import AREAS, recorded
from sparsebench.doctor.finding import Place
from sparsebench.errors import UserError
from sparsebench.printing import printable, printable_lines
from sparsebench.terminal import Terminal

ROOT = Path(__file__).parents[1]


def test_names_steer_no_terminal(tmp_path, capfd):
    record = fixture.write(tmp_path / "a\x1b]0;mine\x07b", fixture.config(method="\x1b[2Jx"))
    assert main(["leaderboard", "--records", str(record.path.parent)]) == 0
    (record.path / "events.jsonl").unlink()
    (record.path / "result.json").write_text('{"\x1b[31m": 1}')
    seals.write(record.path)
    assert main(["leaderboard", "--records", str(record.path.parent)]) == 2
    assert main(["export", str(record.path)]) == 2
    out, err = capfd.readouterr()
    assert "�[2Jx" in out
    assert_tame(out + err)


EVIL = "digits; touch mark\x1b]0;owned\x07\r\u202ex"
"""As a name: words for a shell, the title of a terminal, the start of the line, text that runs the other way."""


def assert_tame(text):
    """Nothing in it is more than text and line ends."""
    assert printable_lines(text) == text


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A working folder with a record from a stranger whose data set has a strange name, and a folder of the same."""
    monkeypatch.chdir(tmp_path)
    record = fixture.write(tmp_path / "runs", fixture.config(method="static", updates={}, dataset=EVIL))
    (record.path.parent / EVIL).mkdir()
    (record.path.parent / EVIL / "result.json").write_text("{}")
    (tmp_path / "s.toml").write_text(f"title = {json.dumps(EVIL)}\n")
    return record


def words(line):
    """The words of the command in a line, as a shell would take them."""
    return shlex.split(line.partition(": ")[2])


def test_a_command_for_copying_is_words_and_nothing_else(strange, capfd):
    assert main(["export", str(strange.path), "--to", "a b.safetensors"]) == 0
    out, err = capfd.readouterr()
    (line,) = [line for line in out.splitlines() if line.startswith("next: ")]
    assert words(line) == [
        "sparsebench", "train", "--model", "lenet-300-100", "--dataset", printable(EVIL), "--weights",
        "a b.safetensors",
    ]  # fmt: skip
    assert_tame(out + err)


@pytest.mark.parametrize(
    "asked",
    [("rm", "RUN"), ("export", "RUN"), ("leaderboard",), ("doctor",), ("doctor", "--format", "json"), ("run", EVIL),
     ("plot", "curves", "--to", EVIL), ("import", "runs", "--records", EVIL, "--no-mlflow"), ("new", "method", EVIL)],
)  # fmt: skip
def test_whatever_is_printed_steers_no_terminal(strange, monkeypatch, capfd, asked):
    monkeypatch.setattr("sparsebench.doctor.AREAS", {"records": AREAS["records"], "disk": AREAS["disk"]})
    main([strange.id if word == "RUN" else word for word in asked])
    out, err = capfd.readouterr()
    assert_tame(out + err)
    assert "]0;owned" in out + err


def test_the_doctors_remedy_is_words_and_nothing_else(strange):
    folder = strange.path.parent / "x; touch mark"
    (strange.path.parent / EVIL).rename(folder)
    (found,) = [each for each in recorded.readable(Place(strange.path.parent)) if each.level == "problem"]
    command, _, rest = found.remedy.partition(", then ")
    assert shlex.split(command) == ["sparsebench", "rm", "x; touch mark"]
    assert rest == "run or copy it again"


def test_titles_of_suites_steer_no_terminal(monkeypatch, capfd):
    monkeypatch.setattr(listing, "_suites", lambda: iter([("x", EVIL), ("y", UserError(EVIL))]))
    assert main(["list", "suites"]) == 0
    out, err = capfd.readouterr()
    assert_tame(out + err)
    assert out == f"x  {printable(EVIL)}\n"


def test_a_terminal_shows_its_own_styling_and_no_other(capsys):
    """Whatever is drawn: names in tables, brackets that rich would read, a live table's cells."""
    stream = io.StringIO()
    terminal = Terminal(stream, 100, colours=True)
    table = Table("heading")
    table.add_row(EVIL)
    table.add_row(Text(EVIL, "bold"))
    terminal.print(table)
    terminal.print(f"[link=http://x.invalid]{EVIL}[/link]", style="bold red")
    with terminal.status(EVIL):
        pass
    shown = stream.getvalue()
    assert "\x1b[1;31m[link=http://x.invalid]" in shown
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown).replace("\r", "")
    assert_tame(plain)
    assert plain.count("�]0;owned") >= 4


PLACES = {
    "harness": {"output.py": {"write"}, "printing.py": {"shlex"}},
    "leaderboard": {"ui.py": {"write"}},
}
"""Where that may be; of the pages' server, a line on its own."""


@pytest.mark.parametrize("root", PLACES)
def test_nothing_is_printed_and_nothing_quoted_in_any_other_place(root):
    found = {}
    for path in sorted((ROOT / root).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name("print" | "Console" as what)):
                    found.setdefault(path.name, set()).add(what)
                case ast.Attribute(ast.Attribute(ast.Name("sys"), "stdout" | "stderr"), "write" as what):
                    found.setdefault(path.name, set()).add(what)
                case ast.Import(names=[ast.alias("shlex" as what)]) | ast.ImportFrom(module="shlex" as what):
                    found.setdefault(path.name, set()).add(what)
    assert (
        found
        == {"harness": {"output.py": {"write"}, "printing.py": {"shlex"}}, "leaderboard": {"ui.py": {"write"}}}[root]
    )
