"""The static site: whole and alone, the same from the same records, and made of text whatever records hold."""

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import records_fixture as fixture
from html_page import BREAKOUT, EVIL, Page
from sparsebench import command, records
from sparsebench.cli import main
from sparsebench.config import Ticket
from sparsebench.errors import UserError
from sparsebench_board import site
from sparsebench_board.formats import formatted
from sparsebench_board.labels import plain
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.references import published
from sparsebench_board.site import names, pages
from sparsebench_board.table import board
from sparsebench_board.views import tied

pytest_plugins = ("site_records",)

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"><rect width="30" height="20"/></svg>'


class Drawing(Kind):
    """A stand-in that needs no matplotlib."""

    def svg(self, records):
        if self.name == "empty":
            raise UserError(f"nothing to draw of {records[0].config.method}")
        return SVG


KINDS = {
    name: Drawing(name, f"Title of {name}", f"What {name} shows.", None, whole)
    for name, whole in (("drawn", True), ("empty", True), ("few", False))
}


@pytest.fixture(scope="module")
def written(recorded, found):
    """The site of them all, beside the records."""
    folder = recorded.parent / "site"
    assert site.write(found, folder, hardware=hardware(recorded), kinds=KINDS) == folder / "index.html"
    return folder


def hardware(root):
    return sorted((root / "hardware").glob("*.json"))


@pytest.fixture(scope="module")
def read(written):
    """Every page by its path in the site."""
    return {str(path.relative_to(written)): Page(path.read_text()) for path in sorted(written.rglob("*.html"))}


def page_of(rows, **wanted):
    (row,) = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    return f"cells/{names.cell(row)}.html"


# ---- whole, alone, and text -----------------------------------------------------------------------------------


def test_every_page_is_there(read, board_rows):
    tops = {name for name in read if "/" not in name}
    assert {"index.html", "hardware.html", "published.html", "methods.html", "rules.html"} < tops
    assert len(tops) == 5 + 2
    assert {name for name in read if "/" in name} == {f"cells/{names.cell(row)}.html" for row in board_rows}


def test_nothing_is_loaded_and_no_script_but_ours_runs(read):
    script = (pages.FOLDER / "site.js").read_text()
    for name, page in read.items():
        assert page.scripts == [script], name
        assert not [attribute for _, own in page.elements for attribute in own if attribute.startswith("on")], name
        assert all(source.startswith("data:image/svg+xml;base64,") for source in page.attribute("src")), name
        assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "use"}, name
        assert "default-src 'none'" in page.attribute("content", "meta")[1], name
        assert all(not own.get("style") or own["style"].startswith("--share:") for _, own in page.elements), name


def test_links_lead_somewhere(read, written):
    for name, page in read.items():
        for address in page.attribute("href"):
            if address.startswith(("https://arxiv.org/abs/", "https://github.com/")):
                assert name in ("published.html", "methods.html", "rules.html")
                continue
            file, _, fragment = address.partition("#")
            target = (written / name).parent / unquote(file) if file else written / name
            assert target.exists(), (name, address)
            if fragment:
                assert fragment in Page(target.read_text()).attribute("id"), (name, address)


@pytest.mark.parametrize("evil", [EVIL, BREAKOUT])
def test_names_are_text(read, evil):
    holding = [name for name, page in read.items() if evil in page.words]
    assert "index.html" in holding
    assert len([name for name in holding if name.startswith("cells/")]) == 1
    assert "hardware.html" in holding


def test_names_of_files_are_safe(written):
    for path in written.rglob("*"):
        for part in path.relative_to(written).parts:
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]*", part), path
            assert len(part) < 200


@given(st.text(max_size=80), st.text(max_size=80))
def test_slugs_are_safe_and_never_alike(first, second):
    assert re.fullmatch(r"[A-Za-z0-9.~-]*", names.slug(first))
    assert not names.slug(first).startswith((".", "-"))
    assert (names.slug(first) == names.slug(second)) == (first == second)


@given(st.text())
def test_whatever_is_put_into_a_page_is_text(text):
    page = Page(pages.render("document", here="", root="", pages=(), version=text, title=text, text=text))
    assert len(page.scripts) == 1
    assert " ".join(plain(text).split()) in " ".join(page.words.split())


# ---- what pages say -------------------------------------------------------------------------------------------


def test_the_index_has_every_row(read, board_rows):
    index = read["index.html"]
    for row in board_rows:
        assert f"cells/{names.cell(row)}.html" in index.attribute("href")
    assert "24 runs in 9 cells, seeds 0–2" in index.words
    assert index.attribute("value", "option").count("rigl") == 1
    assert index.attribute("name", "select") == ["method", "sparsity", "length", "backend"], "columns that are there"


def test_rows_without_a_seed_are_dim_and_last(read, board_rows):
    table = re.search(r"<table.*?</table>", read["lenet-300-100_digits.html"].text, re.DOTALL)[0]
    rows = re.findall(r"<tr( class=\"dim\")?>\s*<th scope=\"row\"><a href=\"cells/(\w+)", table)
    assert [dim != "" for dim, _ in rows] == [False] * 7 + [True]
    assert "static" in rows[-1][1]
    page = read[page_of(board_rows, method="static", backend="jax")]
    assert "It lacks seed 1" in page.words
    assert "0, no 1" not in page.words


def test_every_view_is_there(read):
    page = read["lenet-300-100_digits.html"]
    wanted = ["board", "pictures", "ties", "fronts", "budgets", "frameworks", "against-dense", "against-static"]
    assert page.attribute("id", "section") == wanted
    assert all(f"#{name}" in page.attribute("href") for name in wanted[1:])
    assert "frameworks" not in read[f"{names.slug('../..//etc')}_{names.slug(BREAKOUT)}.html"].attribute("id")


def test_pictures_and_what_is_missing(read, written):
    page = read["lenet-300-100_digits.html"]
    assert page.attribute("alt", "img") == ["What drawn shows."]
    assert (page.attribute("width", "img"), page.attribute("height", "img")) == (["30.0"], ["20.0"])
    assert "Title of empty: nothing to draw of dense" in page.words
    assert "Title of few" not in page.words
    assert "pictures/lenet-300-100_digits_drawn.svg" in page.attribute("href")
    told = re.sub(r"<[^>]*>", "", read["index.html"].text)
    assert "All boards as CSV, Markdown; JSON has every field" in told
    assert (written / "pictures" / "lenet-300-100_digits_drawn.svg").read_text() == SVG


def test_columns_of_numbers_sort_by_them(read, board_rows):
    table = re.search(r"<table.*?</table>", read["lenet-300-100_digits.html"].text, re.DOTALL)[0]
    keys = [float(key) for key in re.findall(r'data-key="(0\.[\d.]+)">\d\d\.\d\d<span class="within">', table)]
    assert keys == [row.accuracy for row in board_rows if row.dataset == "digits"]


def test_a_cell_has_its_runs(read, written, board_rows, found):
    name = page_of(board_rows, method="rigl", backend="jax", multiplier=1.0)
    page, (row,) = read[name], [row for row in board_rows if names.cell(row) in name]
    known = {record.id: record for record in found}
    for id, seed in zip(row.run_ids, row.seeds, strict=True):
        assert id in page.words
        assert " ".join(command.train(known[id].config)) in " ".join(page.words.replace("\\", "").split())
        for file in ("config.json", "environment.json", "layers.json", "result.json", "events.jsonl"):
            copy = written / name.removesuffix(".html") / f"seed{seed}" / file
            assert copy.read_bytes() == (known[id].path / file).read_bytes()
    assert "../../runs/" in " ".join(page.attribute("href")), "weights lie beside the site"
    for text in (
        "training loss",
        "test accuracy, %",
        "delta_t",
        "ΔT, steps between mask updates",
        "Example CPU",
        "fc1",
    ):
        assert text in page.words


def test_where_a_cell_stands(read, board_rows):
    words = read[page_of(board_rows, method="rigl", backend="torch", multiplier=1.0)].words
    for what in ("against the best of this sparsity", "torch − jax", "against static", "against dense"):
        assert what in words
    assert "told apart" in words
    best = read[page_of(board_rows, method="dense", backend="jax")].words
    assert "against dense" not in best


def test_the_hardware_page(read):
    words = read["hardware.html"].words
    assert "2026-01-02T00-00-00Z_broken.json cannot be read" in words
    assert "1.020" in words
    assert "[1.010, 1.030]" in words
    assert "2.00" in words
    assert "in theory 10×" in words
    assert "0.3 MB bool, 1.1 MB float32" in words
    assert re.search(r"floor ms .* float32 128 28 2 1 1\.02 1\.020", words), "2e8 operations at 1e11 a second"


def test_published_figures_stand_apart(read):
    page = read["published.html"]
    shown = [classes for text, classes in page.seen if re.fullmatch(r"\d\d\.\d\d", text)]
    assert len(shown) == len(published())
    assert all("published" in classes for classes in shown)
    assert not any("published" in classes for _, classes in read["index.html"].seen for classes in [classes])


def test_published_figures_beside_rows(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config("rigl", 0.8, model="resnet50", dataset="imagenet"))
    folder = site.write([record], tmp_path / "site", kinds={}).parent
    page = Page((folder / "resnet50_imagenet.html").read_text())
    assert [classes[0] for text, classes in page.seen if text == "75.10"] == ["published"]
    assert "https://arxiv.org/abs/1911.11134" in page.attribute("href")


def test_tables_are_those_of_the_board(written, board_rows):
    for format in ("csv", "md"):
        assert (written / "tables" / f"ties.{format}").read_text() == formatted(tied.view(board_rows), format)
    assert (written / "tables" / "board.csv").read_text() == formatted(board(board_rows), "csv")
    assert len(json.loads((written / "tables" / "board.json").read_text())) == len(board_rows)


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
    assert list((tmp_path / "site").iterdir()) == []


@pytest.mark.parametrize(
    ("file", "entry", "told"),
    [
        ("result.json", {"parameters": None}, "cannot be shown"), ("result.json", {"loss": "low"}, "cannot be shown"),
        ("layers.json", {"layers": [{"name": "fc1"}]}, "it lacks 'active'"),
        ("result.json", {"accuracy": "high"}, "not a finite number"),
    ],
)  # fmt: skip
def test_a_record_of_another_kind_is_told_in_a_line(tmp_path, file, entry, told):
    path = fixture.write(tmp_path / "runs", fixture.config()).path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    with pytest.raises(UserError, match=re.escape(told)) as raised:
        site.write([records.read(path.parent)], tmp_path / "site", kinds={})
    assert str(path.parent) in str(raised.value)
    assert "\n" not in str(raised.value)


# ---- where it is written --------------------------------------------------------------------------------------


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_records_make_the_same_site(written, recorded, found):
    again = recorded.parent / "again"
    site.write(list(reversed(found)), again, hardware=hardware(recorded), kinds=KINDS)
    assert contents(again) == contents(written)


def test_a_new_site_takes_the_place_of_the_old(tmp_path, found):
    folder = tmp_path / "site"
    site.write(found, folder, kinds=KINDS)
    (folder / "CNAME").write_text("example.org")
    (folder / "own.html").write_text("<p>mine</p>")
    few = [record for record in found if record.config.method == "rigl" and record.config.dataset == "digits"]
    site.write(few, folder, kinds={})
    fresh = tmp_path / "fresh"
    site.write(few, fresh, kinds={})
    assert set(contents(folder)) - set(contents(fresh)) == {Path("CNAME"), Path("own.html")}
    assert (folder / "own.html").read_text() == "<p>mine</p>"


def test_what_is_there_already_is_left_alone(tmp_path, found):
    folder = site.write(found[:3], tmp_path / "site", kinds=KINDS).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    site.write(found[:3], folder, kinds=KINDS)
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
