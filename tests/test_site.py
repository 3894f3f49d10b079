"""The static site: whole and alone, and made of text whatever records hold."""

import json
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import records_fixture as fixture
from html_page import BREAKOUT, EVIL, Page
from site_records import SVG
from sparsebench import command
from sparsebench_board import site
from sparsebench_board.formats import formatted
from sparsebench_board.labels import plain
from sparsebench_board.references import published
from sparsebench_board.site import names, pages
from sparsebench_board.table import board
from sparsebench_board.views import tied

pytest_plugins = ("site_records",)


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
