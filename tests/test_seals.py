"""Digests of records: what is read is what was written, whatever bit is flipped and wherever a file is cut."""

import hashlib
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import records_fixture as fixture
from damage import flip
from sparsebench import records, seals, tensors
from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench.reading import document

LIST = seals.NAME


def left_in(root):
    return sorted(path.name for path in root.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A record that has every file that one may have, and their contents."""
    root = tmp_path_factory.mktemp("whole")
    mask = np.arange(1000).reshape(20, 50) % 7 == 0
    model = fixture.write(root / "model", fixture.config(), moved=fixture.movement(mask))
    documents = {name: document(f"{name}.json", (model.path / f"{name}.json").read_bytes())
                 for name in records.DOCUMENTS}  # fmt: skip
    weights = {"fc1.weight": mask.astype(np.float32)}
    path = records.write(
        root, model.id, documents, model.events(), weights, {"fc1": mask}, weights, model.movement()
    )  # fmt: skip
    assert left_in(path) == sorted([*records.ALL, LIST])
    return path


def refused(path):
    """What is said of a record that is not what was written."""
    with pytest.raises(UserError) as raised:
        records.read(path).verify()
    message = str(raised.value)
    assert message.startswith(f"record {path} cannot be read (")
    assert message.endswith("): remove that folder, then run or copy it again")
    assert "\n" not in message
    return message


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([*records.ALL, LIST]), st.booleans())
def test_any_flipped_bit_and_any_cut_is_found(whole, data, name, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copytree(whole, Path(folder) / whole.name)
        content = (path / name).read_bytes()
        if cut:
            (path / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        else:
            flip(path / name, data.draw(st.integers(0, 8 * len(content) - 1)))
        message = refused(path)
        assert name in message or name == LIST
        shutil.copyfile(whole / name, path / name)
        assert records.read(path).verify()


def test_every_flipped_bit_of_the_list_and_every_cut_is_found(whole):
    content = (whole / LIST).read_bytes()
    sums = {name: hashlib.sha256((whole / name).read_bytes()).hexdigest() for name in records.ALL}
    assert seals.parsed(content) == sums
    spoilt = [content[:end] for end in range(len(content))]
    for place, byte in enumerate(content):
        spoilt += [content[:place] + bytes([byte ^ 1 << bit]) + content[place + 1 :] for bit in range(8)]
    for each in spoilt:
        with suppress(ValueError):
            found = seals.parsed(each)
            assert any(found.get(name) != digest for name, digest in sums.items()), each


def test_the_list_is_what_sha256sum_reads(whole):
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum here")
    done = subprocess.run([program, "--check", "--strict", LIST], cwd=whole, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count(": OK")) == (0, len(records.ALL))


@pytest.mark.parametrize("name", records.ALL)
def test_a_file_that_is_gone_or_exchanged_is_found(whole, tmp_path, name):
    path = shutil.copytree(whole, tmp_path / "record")
    (path / name).unlink()
    assert f"No such file or directory: {name}" in refused(path)
    shutil.copyfile(path / LIST, path / name)
    assert f"{name} does not match its digest in {LIST}" in refused(path)


READ = {
    "events.jsonl": records.Record.events, "weights.safetensors": records.Record.weights,
    "masks.safetensors": records.Record.masks, records.MOVEMENT: records.Record.movement,
    records.REWIND: records.Record.rewind, "layers.json": lambda record: record.layers,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_nothing_is_read_that_was_not_written(whole, tmp_path, name):
    path = shutil.copytree(whole, tmp_path / "record")
    record = replace(records.read(path))  # which has not read its layers yet
    flip(path / name, 77)
    with pytest.raises(UserError, match=f"{name} does not match its digest"):
        READ[name](record)


def test_the_last_lines_of_events_are_missed(whole, tmp_path):
    path = shutil.copytree(whole, tmp_path / "record")
    lines = (path / "events.jsonl").read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        (path / "events.jsonl").write_text("".join(lines[:kept]))
        with pytest.raises(UserError, match=r"events\.jsonl does not match its digest"):
            records.read(path).events()


@pytest.mark.parametrize(("look", "when"), [(records.Record.weights, 1), (records.Record.verify, 7)])
def test_a_record_that_another_takes_the_place_of_while_it_is_read(whole, tmp_path, monkeypatch, look, when):
    """As `run --again` does, after the weights and before the list."""
    path, other = (shutil.copytree(whole, tmp_path / name) for name in ("record", "other"))
    tensors.write(other / "weights.safetensors", {"fc1.weight": np.ones((20, 50), np.float32)}, {})
    seals.write(other)
    record, original = records.read(path), seals.read
    looked = []

    def late(list):
        looked.append(list)
        if len(looked) == when:
            path.rename(tmp_path / "before")
            other.rename(path)
        return original(list)

    monkeypatch.setattr(seals, "read", late)
    found = look(record)
    assert found is True or (found["fc1.weight"] == 1).all()
    assert not other.exists()


# ---- records of older versions --------------------------------------------------------------------------------


def test_a_record_without_digests_is_read_copied_and_unverified(whole, tmp_path):
    path = fixture.unsealed(shutil.copytree(whole, tmp_path / "there" / whole.name))
    record = records.read(path)
    assert record.verify() is False
    assert record.events() == records.read(whole).events()
    assert record.movement() is not None
    assert record.weights().keys() == {"fc1.weight"} == record.rewind().keys()
    assert main(["import", str(path.parent), "--records", str(tmp_path / "here"), "--no-mlflow"]) == 0
    assert left_in(tmp_path / "here" / whole.name) == sorted(records.ALL)


def test_an_import_keeps_the_digests_and_refuses_any_damage(whole, tmp_path, capsys):
    path = shutil.copytree(whole, tmp_path / "there" / whole.name)
    command = ["import", str(path.parent), "--records", str(tmp_path / "here"), "--no-mlflow"]
    for name in (records.REWIND, LIST):
        flip(path / name)
        assert main(command) == 2
        assert name in capsys.readouterr().err
        assert not (tmp_path / "here").exists()
        shutil.copyfile(whole / name, path / name)
    assert main(command) == 0
    taken = records.read(tmp_path / "here" / whole.name)
    assert taken.verify()
    assert (taken.path / LIST).read_bytes() == (whole / LIST).read_bytes()


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda found: found.decode("latin-1")))
@settings(max_examples=50)
def test_whatever_else_is_in_the_list_is_damage(text):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / LIST).write_text(text)
        with pytest.raises(ValueError, match="SHA256SUMS is damaged"):
            seals.read(Path(folder) / LIST)


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "a b"])
def test_the_list_names_no_other_place(tmp_path, name):
    (tmp_path / LIST).write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(ValueError, match="SHA256SUMS is damaged"):
        seals.read(tmp_path / LIST)
