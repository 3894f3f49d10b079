"""Files that somebody asks for are there whole or not at all: no room, a kill, links, devices and pipes."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import dying
import records_fixture as fixture
import site_records
from full_files import room_for
from sparsebench import aside, exporting
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench.hardware import documents
from sparsebench.plugins import load
from sparsebench_board import site

pytest_plugins = ("site_records",)


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


# ---- each command ---------------------------------------------------------------------------------------------


def test_a_picture_that_has_no_room_leaves_the_old_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    layers = ("plot", "layers", "--model", "lenet-300-100", "--sparsity", "0.9", "--to", "p.svg")
    Path("p.svg").write_text("old")
    with room_for(1000):
        assert main(list(layers)) == 2
    assert capsys.readouterr().err.startswith("error: cannot write p.svg (File too large)")
    assert (names(tmp_path), Path("p.svg").read_text()) == (["p.svg"], "old")
    assert main(list(layers)) == 0
    assert Path("p.svg").read_text().endswith("</svg>\n")


def test_an_export_that_has_no_room_leaves_neither_file(tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
    found = exporting.exported(record, load("models", "lenet-300-100"))
    place = tmp_path / "there"
    place.mkdir()
    with room_for(1000), pytest.raises(UserError, match="cannot be written"):
        exporting.write(found, place / "net", force=False)
    assert names(place) == []
    (place / "net").write_text("old")
    (place / "net.masks.safetensors").write_text("old")
    one = exporting.Export({"fc1.bias": np.zeros(1)}, found.masks)
    for each, size in ((found, 1000), (one, 500)):  # of the latter the masks alone have no room
        with room_for(size), pytest.raises(UserError, match="cannot be written"):
            exporting.write(each, place / "net", force=True)
        assert dying.tree(place) == {"net": b"old", "net.masks.safetensors": b"old"}
    assert exporting.write(found, place / "net", force=True) == [place / "net", place / "net.masks.safetensors"]


def test_a_site_that_has_no_room_is_written_at_the_next_attempt(tmp_path, found):
    folder = tmp_path / "site"
    for size in (0, 5000, 20_000):
        with room_for(size), pytest.raises(UserError, match="cannot be written"):
            site.write(found, folder, kinds={})
        assert names(folder) == []
    site.write(found[:2], folder, kinds={})
    old = dying.tree(folder)
    with room_for(5000), pytest.raises(UserError, match="cannot be written"):
        site.write(found, folder, kinds={})
    assert dying.tree(folder) == old


def test_a_site_that_is_killed_at_any_step_is_written_at_the_next_attempt(tmp_path, found, monkeypatch):
    few, real = found[:1], os.replace
    whole = site.write(few, tmp_path / "whole", kinds=site_records.KINDS).parent
    left = iter(range(len(dying.tree(whole))))
    for last in left:
        moves = []

        def replace(old, new, last=last, moves=moves):
            if len(moves) == last:
                raise dying.Killed
            moves.append(new)
            real(old, new)

        folder = tmp_path / f"site{last}"
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            patch.setattr(aside.shutil, "rmtree", lambda *arguments, **settings: None)
            with pytest.raises(dying.Killed):
                site.write(few, folder, kinds=site_records.KINDS)
        assert list(folder.glob(".partial-*")), "as a process that is killed leaves it"
        site.write(few, folder, kinds=site_records.KINDS)
        assert dying.tree(folder) == dying.tree(whole)


def test_a_package_that_has_no_room_is_not_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with room_for(300):
        assert main(["new", "method", "my-method"]) == 2
    assert "cannot be made (File too large)" in capsys.readouterr().err
    assert names(tmp_path) == []
    assert main(["new", "method", "my-method"]) == 0


def test_a_hardware_document_that_has_no_room_leaves_nothing(tmp_path, recorded):
    (whole, *_) = [path for path in site_records.hardware(recorded) if "evil" in path.name]
    with room_for(300), pytest.raises(UserError, match="cannot be written"):
        documents.take_in(whole, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert documents.take_in(whole, tmp_path)


# ---- where it goes --------------------------------------------------------------------------------------------


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    aside.put({tmp_path / "link": b"new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "real").read_bytes() == b"new"
    assert names(tmp_path / "there") == ["real"]


def test_a_pipe_takes_what_comes_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    taken = []
    reader = threading.Thread(target=lambda: taken.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    aside.put({tmp_path / "pipe": b"new"})
    reader.join()
    assert taken == [b"new"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(("place", "error"), [("folder", IsADirectoryError), ("nowhere/x", FileNotFoundError)])
def test_folders_are_neither_written_to_nor_made(tmp_path, place, error):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error):
        aside.put({tmp_path / "first": b"new", tmp_path / place: b"new"})
    assert names(tmp_path) == ["folder"]
