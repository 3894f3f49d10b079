"""Pictures drawn in processes of their own: the same as those drawn here, whatever becomes of the processes."""

import os
from dataclasses import replace

import pytest

import records_fixture as fixture
from sparsebench_board.pictures import KINDS
from sparsebench_board.site import drawing

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """Records of two data sets, in two backends."""
    root = tmp_path_factory.mktemp("drawn")
    return [
        [fixture.write(root, fixture.config(backend=name, dataset=dataset)) for name in ("torch", "jax")]
        for dataset in ("digits", "mnist")
    ]


@pytest.fixture
def cores(monkeypatch):
    """Two of them, and a single run is many."""
    monkeypatch.setattr(drawing, "available_cores", lambda: (0, 1))
    monkeypatch.setattr(drawing, "MANY", 1)


def everything(benchmarks, kinds=KINDS):
    with drawing.drawing(kinds, benchmarks) as draw:
        return [draw(place) for place in range(len(benchmarks))]


def refused(*arguments):
    raise AssertionError("no process was to start")


def dies(name, records):
    os._exit(1)


def test_processes_draw_what_is_drawn_here(benchmarks, cores, monkeypatch):
    apart = everything(benchmarks)
    monkeypatch.setattr(drawing, "ProcessPoolExecutor", refused)
    assert everything(benchmarks, dict(KINDS)) == apart
    assert [each.kind.name for each in apart[0]] == [kind.name for kind in KINDS.values() if kind.whole]
    assert "mnist" in apart[1][0].svg
    assert all(bool(each.svg) != bool(each.reason) for own in apart for each in own)


def test_what_processes_cannot_draw_is_drawn_here(benchmarks, cores, monkeypatch):
    expected = everything(benchmarks, dict(KINDS))
    monkeypatch.setattr(drawing, "_by_name", dies)
    assert everything(benchmarks) == expected


@pytest.mark.parametrize("few", ["cores", "runs", "files"])
def test_processes_start_where_they_pay(benchmarks, cores, monkeypatch, few):
    monkeypatch.setattr(drawing, "ProcessPoolExecutor", refused)
    chosen = [benchmarks[0][:1]]
    if few == "cores":
        monkeypatch.setattr(drawing, "available_cores", lambda: (0,))
    elif few == "runs":
        monkeypatch.setattr(drawing, "MANY", 2)
    else:
        record = chosen[0][0]
        chosen = [[replace(record, find=lambda name: record.path / name)]]
    assert everything(chosen)[0][0].svg.startswith("<svg")


def test_processes_start_at_all(benchmarks, cores, monkeypatch):
    monkeypatch.setattr(drawing, "ProcessPoolExecutor", refused)
    with pytest.raises(AssertionError, match="no process was to start"):
        everything(benchmarks)
