"""MLflow's pages in a real browser: `sparsebench ui` opens on our columns, and its note leads to everything else."""

import os
import re
import signal
import subprocess
import sys

import pytest

import records_fixture as fixture
from ports import closed_port
from sparsebench_board.prepared import BOARD

pytest_plugins = ("browser",)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's, on import
]
CELLS = [("rigl", 0.9, 0.93), ("set", 0.9, 0.91), ("static", 0.9, 0.88), ("dense", 0.0, 0.95)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What `sparsebench ui` prints as its link, over four cells of two seeds."""
    root = tmp_path_factory.mktemp("ui")
    for method, sparsity, accuracy in CELLS:
        for seed in range(2):
            fixture.write(root / "runs", fixture.config(method, sparsity, seed), accuracy + seed / 100)
    command = [sys.executable, "-m", "sparsebench.cli", "ui", "--records", "runs", "--port", str(closed_port())]
    clean = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(command, cwd=root, env=clean, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            yield next(line.removeprefix("MLflow's runs: ").strip() for line in lines if "runs: http" in line)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


def columns(page):
    """The names of the table's columns from left to right, as far as they are in sight."""
    script = """cells => cells.map(cell => [cell.getBoundingClientRect().x, cell.getAttribute("col-id")]).sort(
        (one, other) => one[0] - other[0]).map(found => found[1])"""
    return page.locator(".ag-header-cell[col-id]").evaluate_all(script)


def test_it_opens_on_our_columns_and_cells_only(served, open_page):
    watched = open_page(served, width=2600)
    page = watched.page
    page.get_by_role("link", name="dense 0 torch", exact=True).wait_for(timeout=60_000)
    page.locator(".ag-header-cell[col-id*=training_ratio]").wait_for()
    shown = [name for name in columns(page) if name.startswith(("metrics", "tags"))]
    assert shown == list(BOARD.state["selectedColumns"])[: len(shown)]
    assert len(shown) >= 8
    names = page.get_by_role("link", name=re.compile(r"^(rigl|set|static|dense) 0(\.9)? torch( seed \d)?$"))
    assert names.all_inner_texts() == ["dense 0 torch", "rigl 0.9 torch", "set 0.9 torch", "static 0.9 torch"]
    assert page.locator("[role=gridcell][col-id*=accuracy_percent]").all_inner_texts() == [
        "95.5", "93.5", "91.5", "88.5",
    ]  # fmt: skip
    assert watched.outside == []


@pytest.fixture
def opened(served, open_page):
    """Follows a link of the note on the page that `sparsebench ui` opens on."""

    def follow(name):
        page = open_page(served).page
        link = page.get_by_role("link", name=name, exact=True)
        link.wait_for(timeout=60_000)
        with page.context.expect_page() as event:
            link.click()
        return event.value

    return follow


def test_the_note_leads_to_seeds_by_cell(opened):
    page = opened("Seeds by cell")
    page.get_by_text(re.compile("Group: rigl 0.9 torch, lenet-300-100 on digits")).wait_for(timeout=60_000)
    assert page.get_by_role("link", name=re.compile(r"^rigl 0\.9 torch seed [01]$")).count() == 2
    assert {"tags.`seed`", "metrics.`accuracy_percent`"} <= set(columns(page))


def test_the_note_leads_to_accuracy_against_flops(opened):
    page = opened("Accuracy against FLOPs")
    charts = page.locator(".js-plotly-plot")
    charts.nth(1).wait_for(timeout=60_000)
    assert charts.count() == 2
    points = page.locator(".js-plotly-plot .scatterlayer .point")
    points.nth(7).wait_for()
    assert points.count() == 2 * len(CELLS)


def test_the_note_leads_to_parallel_coordinates(opened):
    page = opened("Parallel coordinates")
    page.locator(".parcoords").wait_for(timeout=60_000)
    names = page.locator(".parcoords .dimension .label").all_text_contents()
    assert names == ["method", "sparsity", "training_ratio", "inference_ratio", "accuracy_percent"]


def test_the_note_leads_to_the_page_which_works_there(opened):
    page = opened("Page")
    frame = page.frame_locator("iframe")
    frame.get_by_text("8 runs in 4 cells").first.wait_for(timeout=60_000)
    frame.get_by_label("method").first.select_option("rigl")
    assert frame.locator("tbody tr:visible").count() == 1
