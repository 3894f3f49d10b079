"""The site in a real browser: it sorts, filters, opens cells, shows its pictures, and loads nothing."""

import pytest

from html_page import EVIL
from sparsebench.hardware import documents
from sparsebench_board import site
from sparsebench_board.site import names

pytest_plugins = ("browser", "site_records")

PAGES = ("index.html", "lenet-300-100_digits.html", "hardware.html", "published.html", "methods.html", "rules.html")
WINDOWS = ({"width": 1280}, {"width": 390, "dark": True})
BOARD = "#board tbody tr:not([hidden])"


@pytest.fixture(scope="module")
def address(recorded, found):
    """Where the site of them all is, pictures included."""
    pytest.importorskip("matplotlib")
    return site.write(found, recorded.parent / "shown", hardware=documents.paths(recorded)).parent.as_uri()


@pytest.fixture
def board(open_page, address):
    """The page of one benchmark."""
    return open_page(f"{address}/lenet-300-100_digits.html")


def column(watched, title):
    """The texts of a column of the board, from top to bottom."""
    place = watched.page.locator("#board thead th").all_inner_texts().index(title) + 1
    return watched.page.locator(f"{BOARD} > :nth-child({place})").all_inner_texts()


def means(watched):
    return [float(text.split()[0]) for text in column(watched, "accuracy %")]


def heading(watched, title):
    return watched.page.locator("#board thead button", has_text=title).first


# ---- every page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS, ids=("desktop", "phone"))
@pytest.mark.parametrize("name", [*PAGES, "cell"])
def test_pages_are_accessible_quiet_and_fit(open_page, address, board_rows, name, window):
    if name == "cell":
        name = f"cells/{names.cell(next(row for row in board_rows if row.missing))}.html"
    watched = open_page(f"{address}/{name}", **window)
    assert watched.violations() == []
    assert watched.errors == []
    assert watched.outside == []
    assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_name_like_an_attack_is_text(open_page, address, board_rows):
    (row,) = [row for row in board_rows if row.method == EVIL]
    for name in ("index.html", f"{names.benchmark(row)}.html", f"cells/{names.cell(row)}.html", "hardware.html"):
        watched = open_page()
        watched.page.on("dialog", lambda dialog: pytest.fail(f"a script of a record ran: {dialog.message}"))
        watched.page.goto(f"{address}/{name}")
        assert EVIL in watched.page.locator("main").inner_text()
        assert (watched.errors, watched.outside) == ([], [])


@pytest.mark.parametrize(
    "script",
    [
        "document.body.append(Object.assign(new Image(), {src: 'https://example.invalid/a.png'}))",
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'globalThis.ran = 1'}))",
    ],
)
def test_the_policy_stops_what_is_not_ours(board, script):
    with board.page.expect_console_message(lambda told: "Content Security Policy" in told.text):
        board.page.evaluate(script)
    assert board.page.evaluate("globalThis.ran") is None


# ---- tables ---------------------------------------------------------------------------------------------------


def test_sorting(board):
    before = column(board, "method")
    assert before[-1] == "static", "it lacks a seed, and is last"
    heading(board, "accuracy %").click()
    assert means(board)[:-1] == sorted(means(board)[:-1])
    assert column(board, "method")[-1] == "static"
    assert board.page.locator("#board th[aria-sort=ascending]").count() == 1
    heading(board, "accuracy %").click()
    assert means(board)[:-1] == sorted(means(board)[:-1], reverse=True)
    heading(board, "method").press("Enter")
    assert column(board, "method")[:-1] == sorted(before[:-1])
    heading(board, "method").press("Enter")
    heading(board, "method").press("Enter")
    assert column(board, "method") == before
    assert board.page.locator("#board tbody").count() == 3, "sections are back"
    assert board.errors == []


def test_filters(board, address, open_page):
    board.page.get_by_role("combobox", name="method").select_option("rigl")
    board.page.get_by_role("combobox", name="backend").select_option("jax")
    assert set(zip(column(board, "method"), column(board, "backend"), strict=True)) == {("rigl", "jax")}
    assert board.page.locator("[data-count]").inner_text() == "2 of 8 rows"
    board.page.get_by_label("Search").fill("5×")
    assert column(board, "length") == ["5×"]
    again = open_page(board.page.url)
    assert column(again, "length") == ["5×"], "the address says what was filtered"
    assert again.page.get_by_label("Search").input_value() == "5×"
    board.page.get_by_role("button", name="Clear").click()
    assert len(column(board, "method")) == 8
    assert "#" not in board.page.url
    board.page.get_by_label("Search").fill("no such thing")
    assert board.page.locator("#board").is_hidden()
    assert board.page.locator("[data-count]").inner_text() == "0 of 8 rows"


def test_a_link_to_a_section_is_no_filter(open_page, address):
    watched = open_page(f"{address}/lenet-300-100_digits.html#ties")
    assert len(column(watched, "method")) == 8
    watched.until("Math.abs(document.querySelector('#ties').getBoundingClientRect().top) < 60")


# ---- pictures and cells ---------------------------------------------------------------------------------------


def test_every_picture_is_shown(board):
    pictures = board.page.locator("#pictures img")
    assert pictures.count() >= 2
    assert all(board.page.evaluate("image => image.decode().then(() => image.naturalWidth > 0)", picture)
               for picture in pictures.element_handles())  # fmt: skip
    assert all(picture.get_attribute("alt") for picture in pictures.all())


def test_pictures_on_a_phone_can_be_read(open_page, address):
    picture = open_page(f"{address}/lenet-300-100_digits.html", width=390).page.locator("#pictures img").first
    assert picture.bounding_box()["width"] >= 44 * 16
    picture.click()
    picture.page.wait_for_url("**/pictures/*.svg")


def test_a_cell_opens(board):
    board.page.locator("#board tbody a", has_text="rigl").first.click()
    board.page.wait_for_url("**/cells/*")
    assert board.page.locator("h1").inner_text().startswith("rigl 0.9 erk 5×")
    assert board.page.locator(".chart").count() == 3
    assert board.page.locator(".chart .line").first.bounding_box()["width"] > 100
    block = board.page.locator(".command").first
    assert block.locator("code").inner_text().startswith("sparsebench train --model lenet-300-100 ")
    block.get_by_role("button").click()
    board.until("document.querySelector('.command button').textContent === 'Copied' || `${getSelection()}`.length > 9")
    board.page.locator(".record a", has_text="config").first.click()
    board.page.wait_for_url("**/seed0/config.json")
    assert '"method": "rigl"' in board.page.content().replace("&quot;", '"')
    assert (board.errors, board.outside) == ([], [])


def test_without_scripts_everything_is_there(chromium, address):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/lenet-300-100_digits.html")
    assert page.locator("#board tbody tr").count() == 8
    assert page.locator("form").is_hidden()
    assert page.locator("section").count() == 8
    context.close()
