"""The index of a folder of records: as good as the records, faster, and never believed against them."""

import json
import os
import shutil

import pytest

import records_fixture as fixture
from sparsebench import index, records
from sparsebench.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of four records whose files count as settled at once."""
    monkeypatch.setattr(index, "SETTLED", -(10**9))
    for number, method in enumerate(("rigl", "set", "static", "snip")):
        fixture.write(tmp_path / "runs", fixture.config(method), 0.9 + number / 100)
    return tmp_path / "runs"


@pytest.fixture
def read(monkeypatch):
    """The names of records that were read from their own files, so far."""
    names, original = [], records.read
    monkeypatch.setattr(records, "read", lambda path: names.append(path.name) or original(path))
    return names


def held(root):
    return json.loads((root / index.NAME).read_text().partition("\n")[2])["entries"]


def test_a_second_reading_reads_the_index_alone(root, read):
    first = index.read_all(root)
    assert len(read) == 4
    second = index.read_all(root)
    assert len(read) == 4
    assert first == second == records.read_all(root)
    assert [record.layers for record in second] == [record.layers for record in first]
    assert [record.input for record in second] == [record.input for record in first]
    assert second[0].events() == first[0].events()
    assert list(root.glob(".partial-*")) == []


@pytest.mark.parametrize("name", [f"{name}.json" for name in records.DOCUMENTS])
def test_a_document_that_changed_is_read_anew(root, read, name):
    index.read_all(root)
    read.clear()
    path = fixture.unsealed(next(records.paths(root))) / name
    before, text = path.stat(), path.read_text()
    path.write_text(text.replace("5", "6"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns), "as sly as can be"
    assert index.read_all(root) == records.read_all(root)
    assert read[0] == path.parent.name
    read.clear()
    index.read_all(root)
    assert read == [], "what was read anew is kept"


def test_a_record_that_is_damaged_or_gone_is_not_recalled(root):
    found = index.read_all(root)
    shutil.rmtree(found[0].path)
    (found[1].path / "layers.json").unlink()
    (found[2].path / "environment.json").write_text("{")
    with pytest.raises(UserError) as told:
        index.read_all(root)
    assert [record.id in line for record, line in zip(found[1:3], str(told.value).splitlines(), strict=True)] == [
        True,
        True,
    ]
    for record in found[1:3]:
        shutil.rmtree(record.path)
    assert index.read_all(root) == found[3:]
    assert list(held(root)) == [found[3].id]


def spoiled(change):
    def spoil(path):
        content = json.loads(path.read_text().partition("\n")[2])
        other = json.dumps(change(content) or content).encode()
        path.write_bytes(index._digest(other) + b"\n" + other)  # sealed again: what it says must be refused, too

    return spoil


def each(change):
    return spoiled(lambda content: [change(entry) for entry in content["entries"].values()] and None)


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "not text": lambda path: path.write_bytes(b"\xff\x00"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a list": spoiled(lambda content: [content]),
    "another version": spoiled(lambda content: content.update(version=2)),
    "no version": spoiled(lambda content: content.pop("version") and None),
    "no entries": spoiled(lambda content: content.pop("entries") and None),
    "entries of another kind": spoiled(lambda content: content.update(entries=[1])),
    "an entry of another kind": spoiled(lambda content: content.update(entries=dict.fromkeys(content["entries"], 7))),
    "no stamp": each(lambda entry: entry.pop("stamp")),
    "no result": each(lambda entry: entry.pop("result")),
    "a result of another kind": each(lambda entry: entry.update(result=[1])),
    "impossible settings": each(lambda entry: entry["config"]["config"].update(sparsity=2)),
    "another schema": each(lambda entry: entry["config"].update(schema=99)),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_an_index_that_is_broken_is_as_good_as_none(root, read, spoil):
    found = index.read_all(root)
    spoil(root / index.NAME)
    read.clear()
    assert index.read_all(root) == found
    assert len(read) == 4


def test_an_index_of_another_folder_is_as_good_as_none(root, read, tmp_path):
    index.read_all(root)
    shutil.copytree(root, tmp_path / "copied", copy_function=shutil.copy2)
    assert (tmp_path / "copied" / index.NAME).is_file()
    read.clear()
    found = index.read_all(tmp_path / "copied")
    assert len(read) == 4
    assert {record.path.parent for record in found} == {tmp_path / "copied"}


def test_where_nothing_can_be_written_nothing_is_kept(root, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index, "place", refuse)
    assert index.read_all(root) == records.read_all(root)
    assert not (root / index.NAME).exists()


def test_what_may_still_change_unseen_is_not_kept(root, monkeypatch, read):
    monkeypatch.setattr(index, "SETTLED", 3600 * 10**9)
    index.read_all(root)
    index.read_all(root)
    assert len(read) == 8
    assert not (root / index.NAME).exists()


def test_a_part_of_a_folder_leaves_the_rest_of_the_index(root, read):
    names = [record.id for record in index.read_all(root)]
    fifth = fixture.write(root, fixture.config("dense", 0.0))
    read.clear()
    assert [record.id for record in index.read_each(root, [names[1], fifth.id])] == [names[1], fifth.id]
    assert read == [fifth.id]
    assert set(held(root)) == {*names, fifth.id}
    with pytest.raises(UserError, match="nowhere cannot be read"):
        index.read_each(root, ["nowhere"])
    assert index.read_all(root / "not there") == []
