"""Records: what is written is what is read, whole or not at all, whoever else writes and whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import records_fixture as fixture
from sparsebench import aside, records, seals, tensors
from sparsebench.errors import UserError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7)
MASKS = st.dictionaries(st.text(max_size=8), SHAPES.flatmap(lambda shape: hnp.arrays(np.bool_, shape)), max_size=3)
FLOATS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
WEIGHTS = st.dictionaries(st.text(max_size=8), FLOATS, max_size=3)


def write(root, id="run", masks=None, weights=None, events=(), config=None, accuracy=0.9):
    """A record with these arrays and events, its documents from the fixture's."""
    with tempfile.TemporaryDirectory() as folder:
        model = fixture.write(Path(folder), config or fixture.config(), accuracy)
        documents = {name: json.loads((model.path / f"{name}.json").read_text()) for name in records.DOCUMENTS}
    return records.read(records.write(root, id, documents, list(events), weights or {}, masks or {}))


def left_in(root):
    return sorted(path.name for path in root.iterdir())


# ---- round trip -----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(MASKS, WEIGHTS, st.booleans())
def test_arrays_come_back_as_they_were(masks, weights, transposed):
    if transposed:
        masks = {name: np.asfortranarray(mask) for name, mask in masks.items()}
    with tempfile.TemporaryDirectory() as root:
        found = write(Path(root), masks=masks, weights=weights)
        for given_, read in ((masks, found.masks()), (weights, found.weights())):
            assert read.keys() == given_.keys()
            for name, array in given_.items():
                assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
                assert read[name].tobytes() == array.tobytes(), "to the bit, NaN included"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 30000])
def test_masks_take_a_bit_for_each_entry(tmp_path, size):
    mask = np.arange(size) % 3 == 0
    packed = tensors.read(write(tmp_path, masks={"fc": mask}).path / "masks.safetensors")[0]["fc"]
    assert packed.nbytes == -(-size // 8)
    bits = "".join(f"{byte:08b}" for byte in packed.tolist())
    assert [bit == "1" for bit in bits[:size]] == mask.tolist(), "highest bit first"
    assert "1" not in bits[size:]


def test_documents_and_events_come_back_as_they_were(tmp_path):
    config = fixture.config("set", 0.98, seed=7)
    events = fixture.events(0.25, 100)
    found = write(tmp_path, events=events, config=config, accuracy=0.25)
    assert (found.config, found.events(), found.result["accuracy"]) == (config, events, 0.25)
    assert left_in(found.path) == sorted([*records.FILES, seals.NAME])


def test_what_is_no_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path, events=[{"kind": "train", "loss": float("nan")}])
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("id", ["../out", "a/b", "..", ".", "", ".hidden", "/etc", "a\nb", "-x"])
def test_names_that_are_no_folder_here_are_refused(tmp_path, id):
    root = tmp_path / "runs"
    root.mkdir()
    with pytest.raises(ValueError, match="cannot name a record"):
        write(root, id)
    assert (left_in(root), left_in(tmp_path)) == ([], ["runs"])


# ---- whole or not at all --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("bug")])
@pytest.mark.parametrize(
    "at",
    [
        "sparsebench.records.tensors.write",
        "sparsebench.records.seals.write",
        "sparsebench.records.flush",
        "pathlib.Path.rename",
    ],
)
def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch, error, at):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(at, fail)
    with pytest.raises(UserError if isinstance(error, OSError) else type(error)) as caught:
        write(tmp_path)
    if isinstance(error, OSError):
        assert "No space left on device" in str(caught.value)
    monkeypatch.undo()
    assert left_in(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import records_fixture as fixture
Path.rename = lambda folder, target: os.kill(os.getpid(), signal.SIGKILL)
fixture.write(Path(sys.argv[1]), fixture.config())
"""


def test_what_a_killed_writer_leaves_is_no_record_and_is_swept(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(fixture.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "result.json").is_file()
    assert list(records.paths(tmp_path)) == []
    aside.sweep(tmp_path)
    assert left_in(tmp_path) == []


def test_what_is_being_written_is_not_swept(tmp_path, monkeypatch):
    rename = Path.rename

    def swept(folder, target):
        aside.sweep(tmp_path)
        return rename(folder, target)

    monkeypatch.setattr(Path, "rename", swept)
    found = write(tmp_path, masks={"fc": np.ones(3, np.bool_)})
    assert found.masks()["fc"].all()
    aside.sweep(tmp_path)
    assert left_in(tmp_path) == ["run"]


@pytest.mark.parametrize("step", ["os.open", "fcntl.flock"])
def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(tmp_path, monkeypatch, step):
    """A sweeper comes between making the folder and opening it, or between opening and locking it."""
    module, _, name = step.partition(".")
    original, swept = getattr(getattr(aside, module), name), []

    def late(*arguments, **named):
        if not swept:
            swept.append(left_in(tmp_path))
            shutil.rmtree(tmp_path / swept[0][0])
        return original(*arguments, **named)

    monkeypatch.setattr(f"sparsebench.aside.{step}", late)
    with aside.aside(tmp_path) as folder:
        assert folder.is_dir()
        assert [folder.name] not in swept
    assert left_in(tmp_path) == []


def test_sweeping_touches_nothing_else(tmp_path):
    write(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "mlflow.db").write_text("")
    aside.sweep(tmp_path)
    aside.sweep(tmp_path / "not there")
    assert left_in(tmp_path) == ["mlflow.db", "notes", "run"]


def test_writers_of_one_run_do_not_mix(tmp_path):
    def writer(k):
        return write(tmp_path, weights={"w": np.full(1000, k, np.float32)}, accuracy=k / 10).path

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(writer, range(8))) == {tmp_path / "run"}
    found = records.read(tmp_path / "run")
    assert set(found.weights()["w"]) == {np.float32(10 * found.result["accuracy"])}
    assert left_in(tmp_path) == ["run"]


def test_a_record_that_is_there_is_left_alone(tmp_path):
    first = write(tmp_path, accuracy=0.1)
    assert write(tmp_path, accuracy=0.2).result == first.result


def test_something_else_in_the_way_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path)
    assert left_in(tmp_path) == ["run"]
    assert left_in(tmp_path / "run") == ["thesis.txt"]


def test_a_copy_takes_a_records_own_files(tmp_path):
    found = fixture.write(tmp_path / "there", fixture.config())
    (found.path / "extra.sh").write_text("echo")
    records.copy(found, tmp_path / "here")
    copied = tmp_path / "here" / found.id
    assert left_in(tmp_path / "here") == [found.id]
    assert left_in(copied) == sorted([*records.FILES, seals.NAME])
    for name in left_in(copied):
        assert (copied / name).read_bytes() == (found.path / name).read_bytes()


# ---- damage ---------------------------------------------------------------------------------------------------


def parts(record):
    return record.events(), record.weights(), record.masks()


def edited(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


DAMAGE = {
    **{f"{name} missing": (lambda path, name=name: (path / name).unlink(), name) for name in records.FILES},
    **{
        f"{name} truncated": (lambda path, name=name: (path / name).write_bytes((path / name).read_bytes()[:-9]), "")
        for name in records.FILES
    },
    "a list": (lambda path: (path / "environment.json").write_text("[]"), "environment.json holds no object"),
    "not text": (lambda path: (path / "layers.json").write_bytes(b"\xff\xfe\x00"), "layers.json: "),
    "old schema": (lambda path: edited(path / "config.json", lambda d: d.update(schema=0)), "schema 0, this version"),
    "no schema": (lambda path: edited(path / "config.json", lambda d: d.pop("schema")), "lacks 'schema'"),
    "no settings": (lambda path: edited(path / "config.json", lambda d: d.pop("config")), "lacks 'config'"),
    "wrong settings": (
        lambda path: edited(path / "config.json", lambda d: d["config"].update(sparsity=2, metod="x")),
        "sparsity: given 2, should be less than 1",
    ),
    "a mask too short": (
        lambda path: tensors.write(
            path / "masks.safetensors", {"fc1": np.zeros(3, np.uint8)}, {"shapes": '{"fc1": [20, 50]}'}
        ),
        "mask of shape (20, 50)",
    ),
    "a mask that is missing": (
        lambda path: tensors.write(path / "masks.safetensors", {}, {"shapes": '{"fc1": [20, 50]}'}),
        "lacks 'fc1'",
    ),
    "no shapes": (lambda path: tensors.write(path / "masks.safetensors", {}, {}), "lacks 'shapes'"),
    "no tensors": (lambda path: (path / "weights.safetensors").write_bytes(b"x" * 99), "weights.safetensors"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_in_one_line(tmp_path, damage, told):
    path = fixture.unsealed(fixture.write(tmp_path, fixture.config()).path)
    damage(path)
    with pytest.raises(UserError) as caught:
        parts(records.read(path))
    message = str(caught.value)
    assert message.startswith(f"record {path} cannot be read (")
    assert message.endswith(": remove that folder, then run or copy it again")
    assert told in message
    assert "\n" not in message
    assert "pydantic" not in message


def test_all_damaged_records_are_named_at_once(tmp_path):
    found = [fixture.write(tmp_path, fixture.config(seed=seed)) for seed in range(4)]
    for record in found[1:3]:
        (record.path / "layers.json").unlink()
    with pytest.raises(UserError) as caught:
        records.read_all(tmp_path)
    lines = str(caught.value).splitlines()
    assert [found[k].id in line for k, line in zip((1, 2), lines, strict=True)] == [True, True]


def test_paths_pass_over_what_is_no_record(tmp_path):
    found = fixture.write(tmp_path, fixture.config())
    shutil.copytree(found.path, tmp_path / ".partial-x")
    (tmp_path / "mlartifacts").mkdir()
    (tmp_path / "workers.log").write_text("")
    assert list(records.paths(tmp_path)) == [found.path]
    assert list(records.paths(tmp_path / "not there")) == []
