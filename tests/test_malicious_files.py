"""A malicious file of each kind: refused in a line, nothing executed, nothing written outside of its folder."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import records_fixture as fixture
from malicious import Bomb, png
from sparsebench import checkpoints, index, records, seals, states, suite, tensors
from sparsebench.cli import main
from sparsebench.data.cifar import cifar10
from sparsebench.data.folder import image_folder
from sparsebench.data.idx import mnist
from sparsebench.errors import UserError
from sparsebench_board import mirrored, receipts

pytest_plugins = ("malicious",)

# ---- arrays and documents -------------------------------------------------------------------------------------


def test_malicious_arrays_are_refused_wherever_they_lie(arrays, tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
    fixture.unsealed(record.path)
    for name, read in (("weights", record.weights), ("masks", record.masks)):
        (record.path / f"{name}.safetensors").write_bytes(arrays)
        with pytest.raises(UserError) as raised:
            read()
        assert "\n" not in str(raised.value)
    (tmp_path / "given").write_bytes(arrays)
    with pytest.raises(UserError, match="cannot read weights from"):
        states.given(tmp_path / "given")
    place = tmp_path / "runs" / ".checkpoints" / "x" / "000000000007"
    place.mkdir(parents=True)
    (place / "state.safetensors").write_bytes(arrays)
    facts = {"schema": checkpoints.SCHEMA, "files": {"state.safetensors": checkpoints._digest(arrays)}}
    text = json.dumps(facts).encode()
    (place / "progress.json").write_bytes(checkpoints._digest(text).encode() + b"\n" + text + b"\n")
    told = []
    assert checkpoints.latest(tmp_path / "runs", {"id": "x"}, told.append) is None
    assert "is damaged" in told[0]


SHAPES = ['["x", 100000000000]', "[[0], 100000000000]", "[-1, -8]", "[1e3]", '"ab"', "[" * 100_000]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[:20])
def test_a_masks_shape_is_a_list_of_lengths(tmp_path, shape):
    record = fixture.write(tmp_path, fixture.config())
    mask = {"fc1": np.zeros(1, np.uint8)}
    tensors.write(record.path / "masks.safetensors", mask, {"shapes": f'{{"fc1": {shape}}}'})
    seals.write(record.path)
    with pytest.raises(UserError, match=r"masks\.safetensors"):
        record.masks()


DOCUMENTS = ("config.json", "environment.json", "layers.json", "result.json", "events.jsonl")
JSON = {
    "a pickle": None, "code": b'__import__("os").mkdir("mark")', "depth": b"[" * 200_000,
    "depth of objects": b'{"a":' * 200_000,
    "a tag": b'{"py/object": "os.mkdir", "py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["mark"]}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("kind", JSON)
def test_malicious_documents_are_refused(tmp_path, mark, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    record = fixture.write(tmp_path / "runs", fixture.config())
    (record.path / name).write_bytes(JSON[kind] or pickle.dumps(Bomb(mark)))
    seals.write(record.path)
    if kind == "a tag" and name in ("environment.json", "result.json"):
        records.read(record.path).events()  # any object will do there, and none is more than that
        return
    with pytest.raises(UserError) as raised:
        records.read(record.path).events()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("id", ["../../mark", "/tmp/mark", "..", "a/b", "x\x1b[2J", "", 7, None])
def test_a_records_id_names_no_other_place(tmp_path, id):
    record = fixture.write(tmp_path / "runs", fixture.config())
    document = json.loads((record.path / "config.json").read_text())
    (record.path / "config.json").write_text(json.dumps(document | {"id": id}))
    seals.write(record.path)
    with pytest.raises(UserError, match=r"config\.json: id: given"):
        records.read(record.path)
    assert main(["export", str(record.path)]) == 2


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"version": 1, "entries": {"x": 7}}', b"\x80\x04K\x07."])
def test_a_malicious_index_or_note_is_as_good_as_none(tmp_path, content):
    record = fixture.write(tmp_path, fixture.config())
    (tmp_path / index.NAME).write_bytes(content)
    (tmp_path / receipts.NAME).write_bytes(content)
    assert [each.id for each in index.read_all(tmp_path)] == [record.id]
    assert receipts.pending([record], "http://tracking.invalid", tmp_path) == [record]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", [*records.ALL, seals.NAME])
def test_no_link_leads_out_of_a_record(tmp_path, capsys, name, sealed):
    """To a file of ours, of any content; the movement and weights to rewind to, which few records have, too."""
    record = fixture.write(tmp_path / "there", fixture.config())
    (tmp_path / "secret").write_text("secret")
    for target in (tmp_path / "secret", tmp_path / "nowhere"):
        if not sealed:
            fixture.unsealed(record.path)
        (record.path / name).unlink(missing_ok=True)
        (record.path / name).symlink_to(target)
        assert main(["import", str(tmp_path / "there"), "--records", str(tmp_path / "runs"), "--no-mlflow"]) == 2
        assert record.path / name not in record.own()
        assert not [path for path in tmp_path.rglob("runs/**/*") if path.is_file() and path.read_bytes() == b"secret"]
        assert not (tmp_path / "runs").exists(), capsys.readouterr()


@pytest.mark.parametrize("name", [*records.ALL, seals.NAME])
def test_a_copy_takes_no_link_and_no_content_but_that_of_the_list(tmp_path, name):
    """Whatever was looked at before: a file may be exchanged for another, or for a link, in between."""
    found = fixture.write(tmp_path / "there", fixture.config(), moved=fixture.movement(np.eye(20, 50) > 0))
    (tmp_path / "secret").write_text("secret")
    (found.path / name).unlink(missing_ok=True)
    (found.path / name).symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=f"{name} is a link"):
        records.copy(found, tmp_path / "here")
    (found.path / name).unlink()
    (found.path / name).write_text("other")
    with pytest.raises(UserError, match=f"{name} (does not match its digest|is damaged)|no digest of {name}"):
        records.copy(found, tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


# ---- suites ---------------------------------------------------------------------------------------------------

GRID = '[task]\nmodel = "lenet-300-100"\ndataset = "digits"\n[recipe]\nsteps = 9\n[grid]\nmethods = ["static"]\n'
SUITES = {
    "depth": ("title = " + "[" * 100_000, "too deep"),
    "seeds": (f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = [0.5]\nseeds = 1000000000', "from 1 to 10,000"),
    "a grid": (
        f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = {[k / 2000 for k in range(2000)]}\nseeds = 9000',
        "the suite has 18,000,000 runs",
    ),
    "rounds": (
        f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = [0.5]\n[search]\nremove = 1e-12',
        "search.remove: given 1e-12",
    ),
    "a pickle": (pickle.dumps(7).decode("latin-1"), "cannot be read as TOML"),
    "size": ("#" * (suite.LARGEST + 1), "more than the"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), SUITES.values(), ids=SUITES)
def test_malicious_suites_are_refused(tmp_path, capsys, text, told):
    (tmp_path / "s.toml").write_text(text)
    assert main(["run", str(tmp_path / "s.toml"), "--records", str(tmp_path / "runs"), "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


# ---- data -----------------------------------------------------------------------------------------------------


def test_malicious_data_sets_are_refused(tmp_path, mark):
    bomb = pickle.dumps(Bomb(mark))
    for source, names in (
        (cifar10, [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]),
        (cifar10, [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]),
        (mnist, [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]),
        (mnist, ["mnist.npz"]),
    ):
        folder = tmp_path / f"{source.name}-{len(names)}-{names[0]}"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(bomb)
        with pytest.raises(UserError) as raised:
            source.load(folder)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["a pickle", "truncated", "a bomb", "PostScript"])
def test_malicious_images_are_refused(tmp_path, mark, kind):
    for part in ("train", "val"):
        (tmp_path / part / "cat").mkdir(parents=True)
        place = tmp_path / part / "cat" / "a.JPEG"
        Image.effect_noise((64, 64), 60).convert("RGB").save(place, "JPEG")
        whole = place.read_bytes()
        place.write_bytes(
            {
                "a pickle": pickle.dumps(Bomb(mark)), "truncated": whole[: len(whole) // 2],
                "a bomb": png(60_000, 60_000),
                "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(mark) (w) file\n",
            }[kind]
        )  # fmt: skip
    split = image_folder.load(tmp_path).train
    with pytest.raises(UserError, match="cannot be used"):
        split.image(0, None)


# ---- MLflow ---------------------------------------------------------------------------------------------------


def test_a_malicious_artifact_is_read_as_a_record_is(arrays, tmp_path, monkeypatch):
    class Client:
        def list_artifacts(self, run):
            return [type("File", (), {"path": "weights.safetensors"})]

        def download_artifacts(self, run, name, folder):
            (Path(folder) / name).write_bytes(arrays)

    monkeypatch.setattr(mirrored, "_folder", lambda: tmp_path)
    record = fixture.write(tmp_path / "runs", fixture.config())
    distant = records.Record(
        Path("MLflow run 1"), record.id, record.config, record.identity, record.environment, record.result,
        mirrored.Files(Client(), "1"),
    )  # fmt: skip
    with pytest.raises(UserError, match="cannot be read"):
        distant.weights()
