"""How the static site is written: from few records and many, the same from the same ones, and nowhere else."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import records_fixture as fixture
import site_records
from html_page import Page
from sparsebench import records, seals
from sparsebench.cli import main
from sparsebench.config import Ticket
from sparsebench.errors import UserError
from sparsebench_board import site

pytest_plugins = ("site_records",)

# ---- tickets, few rows, many seeds, MLflow --------------------------------------------------------------------


def test_a_tickets_commands_begin_with_its_source(tmp_path):
    source = fixture.write(tmp_path / "runs", fixture.config("dense", 0.0))
    record = fixture.write(tmp_path / "runs", fixture.config("rigl", ticket=Ticket(source=source.id)))
    commands = {}
    for place, chosen in (("whole", [source, record]), ("part", [record])):
        folder = site.write(chosen, tmp_path / place, kinds={}).parent
        (page,) = (folder / "cells").glob("rigl*.html")
        commands[place] = Page(page.read_text()).words
    told = f"It starts from {source.id} , which must be among your records and is not among these."
    assert 0 < commands["whole"].find("--method dense") < commands["whole"].find("--method rigl")
    assert told not in commands["whole"]
    assert "--method dense" not in commands["part"]
    assert told in commands["part"]


def test_one_row_and_none(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
    folder = site.write([record], tmp_path / "one", kinds={}).parent
    words = Page((folder / "index.html").read_text()).words
    assert "1 run in 1 cell, seeds 0, of one model and data set" in words
    empty = Page(site.write([], tmp_path / "none", kinds={}).read_text())
    assert "No finished runs yet: sparsebench run quick makes some." in empty.words


def test_many_seeds_are_drawn_alike(tmp_path):
    found = [fixture.write(tmp_path / "runs", fixture.config(seed=seed), 0.9 + seed / 1000) for seed in range(9)]
    folder = site.write(found, tmp_path / "site", kinds={}).parent
    (path,) = (folder / "cells").glob("*.html")
    assert path.read_text().count('class="line many"') == 9 * 2 + 9
    assert "mean with 95 % BCa interval, seeds 0–8" in Page(path.read_text()).words


def test_records_from_elsewhere_bring_their_texts_alone(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
    asked = []

    def find(name):
        asked.append(name)
        return record.path / name

    distant = replace(record, path=Path("MLflow run 1"), find=find)
    folder = site.write([distant], tmp_path / "site", kinds={}).parent
    assert not [name for name in asked if name.endswith(".safetensors")]
    assert len(list((folder / "cells").rglob("*.json*"))) == 5


def test_a_damaged_record_is_told(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
    (record.path / "events.jsonl").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        site.write([record], tmp_path / "site", kinds={})
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("file", "entry", "told"),
    [
        ("result.json", {"parameters": None}, "parameters: given None"),
        ("result.json", {"loss": "low"}, "loss: given 'low'"),
        ("layers.json", {"layers": [{"name": "fc1"}]}, "it lacks 'layers[0].shape'"),
        ("result.json", {"accuracy": "high"}, "accuracy: given 'high'"),
    ],
)  # fmt: skip
def test_a_record_of_another_kind_is_told_in_a_line(tmp_path, file, entry, told):
    path = fixture.write(tmp_path / "runs", fixture.config()).path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    seals.write(path.parent)
    with pytest.raises(UserError, match=re.escape(told)) as raised:
        site.write([records.read(path.parent)], tmp_path / "site", kinds={})
    assert str(path.parent) in str(raised.value)
    assert "\n" not in str(raised.value)


# ---- where it is written --------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_records_make_the_same_site(written, recorded, found):
    again = recorded.parent / "again"
    site.write(list(reversed(found)), again, hardware=site_records.hardware(recorded), kinds=site_records.KINDS)
    assert contents(again) == contents(written)


def test_a_new_site_takes_the_place_of_the_old(tmp_path, found):
    folder = tmp_path / "site"
    site.write(found, folder, kinds=site_records.KINDS)
    (folder / "CNAME").write_text("example.org")
    (folder / "own.html").write_text("<p>mine</p>")
    few = [record for record in found if record.config.method == "rigl" and record.config.dataset == "digits"]
    site.write(few, folder, kinds={})
    fresh = tmp_path / "fresh"
    site.write(few, fresh, kinds={})
    assert set(contents(folder)) - set(contents(fresh)) == {Path("CNAME"), Path("own.html")}
    assert (folder / "own.html").read_text() == "<p>mine</p>"


def test_what_is_there_already_is_left_alone(tmp_path, found):
    folder = site.write(found[:3], tmp_path / "site", kinds=site_records.KINDS).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    site.write(found[:3], folder, kinds=site_records.KINDS)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda place: (place.mkdir(), (place / "thesis.tex").touch()), "other files are in that folder"),
        (lambda place: place.touch(), "a file is there"),
        (lambda place: (place.mkdir(), (place / "index.html").write_text("<p>")), "other files are in that folder"),
    ],
)
def test_folders_of_others_are_refused(tmp_path, found, prepare, told):
    prepare(tmp_path / "site")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=told):
        site.write(found, tmp_path / "site")
    assert contents(tmp_path) == before


def test_the_command(tmp_path, recorded, capsys):
    pytest.importorskip("matplotlib")
    place = tmp_path / "site"
    assert main(["leaderboard", "--records", str(recorded), "--html", str(place), "--against", "rigl"]) == 0
    assert capsys.readouterr().out == f"page of 24 runs: {place}/index.html\n"
    page = Page((place / "lenet-300-100_digits.html").read_text())
    assert "against-rigl" in page.attribute("id")
    assert "against-static" not in page.attribute("id")
    assert len(page.attribute("src", "img")) >= 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--view", "tied"), "--view is not for --html"), (("--format", "csv"), "--format is not for --html"),
        (("--references",), "--references is not for --html"), (("--against", "rig"), "did you mean 'rigl'?"),
        (("--budget", "0"), "--budget '0': give shares"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(tmp_path, recorded, capsys, options, told):
    assert main(["leaderboard", "--records", str(recorded), "--html", str(tmp_path / "site"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
