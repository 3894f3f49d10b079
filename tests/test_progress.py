"""Progress: what is counted is what happened, and what is drawn fits the window."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sparsebench.cli.live import line, shown, table
from sparsebench.progress import Item, Tracker
from sparsebench.worker import Failed, Finished, Progressed, Started, Told

STEPS = 100


def items(cells, seeds, recorded=()):
    return [
        Item(f"{cell}/{seed}", f"cell {cell}", STEPS, f"{cell}/{seed}" in recorded)
        for cell in range(cells)
        for seed in range(seeds)
    ]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def one_run(tracker, clock, id, seconds, end):
    """A run that takes this long to start and then as long to train."""
    tracker.take(id, Started())
    clock.now += seconds
    tracker.take(id, Progressed(0, STEPS))
    clock.now += seconds
    tracker.take(id, Progressed(STEPS, STEPS))
    return tracker.take(id, end)


@given(st.integers(1, 5), st.integers(1, 3), st.data())
def test_counts_add_up(cells, seeds, data):
    clock = Clock()
    every = items(cells, seeds)
    before = data.draw(st.sets(st.sampled_from([item.id for item in every])))
    every = items(cells, seeds, before)
    tracker = Tracker(every, clock)
    todo = [item for item in every if not item.recorded]
    assert tracker.total().steps == STEPS * len(todo)
    failed = 0
    for item in data.draw(st.permutations(todo)):
        lost = data.draw(st.booleans())
        failed += lost
        cell = one_run(tracker, clock, item.id, 2.0, Failed("why") if lost else Finished())
        assert cell.rate == STEPS / 2.0
    total = tracker.total()
    assert (total.failed, total.recorded) == (failed, len(every) - failed)
    assert total.complete
    assert total.done == total.steps
    assert all(cell.complete and not cell.current for cell in tracker.cells.values())


def test_the_rate_leaves_out_what_came_before_the_first_report():
    clock = Clock()
    tracker = Tracker(items(1, 1), clock)
    for now, event in [(0, Started()), (7, Progressed(20, STEPS)), (9, Progressed(60, STEPS))]:
        clock.now = now
        cell = tracker.take("0/0", event)
    assert (cell.done, cell.rate, cell.left) == (60, 40 / 2, 40 / 20)


def test_time_left_comes_from_the_rate():
    clock = Clock()
    tracker = Tracker(items(2, 2), clock)
    assert tracker.total().left is None
    cell = one_run(tracker, clock, "0/0", 10.0, Finished())
    assert cell.left == 10.0, "one more seed at ten seconds, starting up left out"
    assert tracker.total().left == 60.0, "three more runs, starting up included"
    assert "1:00 left" in line(tracker, cell)


@given(cells=st.integers(1, 40), height=st.integers(6, 60), ended=st.integers(0, 40))
def test_the_table_fits_the_window(cells, height, ended):
    tracker = Tracker(items(cells, 1))
    for cell in range(min(ended, cells)):
        one_run(tracker, Clock(), f"{cell}/0", 0.0, Finished())
    if ended < cells:
        tracker.take(f"{ended}/0", Started())
    console = Console(file=io.StringIO(), width=100, height=height)
    console.print(table(tracker, height))
    drawn = console.file.getvalue().splitlines()
    assert len(drawn) < height
    assert f"{min(ended, cells)}/{cells}" in drawn[-1]
    if ended < cells:
        assert any(text.startswith(f"cell {ended} ") for text in drawn), "what runs is always shown"
    if cells > height - 4:
        assert f"… {cells - (height - 4)} more" in drawn[-2]


def test_eighteen_cells_need_no_summary_in_the_smallest_usual_window():
    tracker = Tracker(items(18, 3))
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(table(tracker, 24))
    assert sum(text.startswith("cell ") for text in console.file.getvalue().splitlines()[1:]) == 18


@pytest.mark.parametrize("terminal", [True, False])
def test_what_runs_tell_is_a_warning_once_for_each(terminal, capsys):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, height=24)
    with shown(items(1, 2), console) as show:
        show("0/0", Started())
        for id, line in [("0/0", "no room"), ("0/0", "no room"), ("0/1", "no room"), ("0/0", "run 0/0 goes on")]:
            show(id, Told(line))
        show("0/0", Finished())
    written = console.file.getvalue() + capsys.readouterr().err
    for line in ("warning: 0/0: no room", "warning: 0/1: no room", "warning: run 0/0 goes on"):
        assert written.count(line) == 1
    assert written.count("warning: ") == 3


def test_a_terminal_gets_a_table_that_goes_away_and_a_pipe_gets_lines():
    every = items(1, 1)
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80, height=24)
        with shown(every, console) as show:
            show("0/0", Started())
            show("0/0", Progressed(50, STEPS))
            show("0/0", Finished())
        written = console.file.getvalue()
        assert ("\x1b[" in written) is terminal
        assert ("1 of 1 seeds" in written) is not terminal
