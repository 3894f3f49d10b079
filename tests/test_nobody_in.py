"""Nobody is let in: nothing that was read is executed, no path leaves its folder, and sizes come before memory."""

import ast
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import records_fixture as fixture
from sparsebench import bounded, checkpoints, index, records, states, suite, tensors
from sparsebench.cli import main
from sparsebench.cli.output import printable
from sparsebench.data.cifar import cifar10
from sparsebench.data.folder import image_folder
from sparsebench.data.idx import mnist
from sparsebench.errors import UserError
from sparsebench_board import mirrored, receipts, tracking, ui

ROOT = Path(__file__).parents[1]
SOURCES = ("harness", "backends", "models", "leaderboard", "examples", "benchmarks")

# ---- what the sources may say ---------------------------------------------------------------------------------

MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml", "runpy", "code", "pty"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {
    ("torch", "load"), ("torch", "save"), ("os", "system"), ("os", "popen"), ("np", "load"), ("numpy", "load"),
    ("np", "save"), ("jnp", "load"), ("jnp", "save"), ("pd", "read_pickle"), ("pickle", "loads"),
}  # fmt: skip
PROCESSES = {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}
ALLOWED = {
    ("backends/sparsebench_jax/program.py", "compile"): "a function of ours of that name: XLA programs",
    ("backends/sparsebench_jax/trainer.py", "compile"): "the same function",
}


def spoken(node):
    """What a call says: (name,) or (object, method)."""
    match node:
        case ast.Call(func=ast.Name(name)):
            return (name,)
        case ast.Call(func=ast.Attribute(ast.Name(of), name)):
            return of, name
    return ()


def forbidden(tree):
    """Everything in a source that could execute what was read, or bring it before a shell."""
    for node in ast.walk(tree):
        said = spoken(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in MODULES)
        elif said[:1] and said[0] in CALLS and len(said) == 1:
            yield said[0]
        elif said in METHODS or said[-1:] == ("getoutput",):
            yield ".".join(said)
        elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell", "weights_only"):
            yield node.arg
        elif said[:1] == ("subprocess",) and said[1] in PROCESSES and not isinstance(node.args[0], ast.List | ast.Name):
            yield "a command that is no list"


@pytest.mark.parametrize("root", SOURCES)
def test_nothing_in_the_sources_unpickles_evaluates_or_asks_a_shell(root):
    """Workers get their jobs as multiprocessing sends them: pickled by one of our processes for another, through a pipe
    that nobody else has; what comes from a file is never."""
    found = {}
    for path in sorted((ROOT / root).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for what in forbidden(ast.parse(path.read_text(encoding="utf-8"))):
            if (name, what) not in ALLOWED:
                found.setdefault(name, []).append(what)
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from dill import loads", "import yaml", "eval(x)", "exec(x)", "__import__(x)", "torch.load(f)",
        "np.load(f)", "read(f, allow_pickle=True)", "os.system(x)", "subprocess.run(x, shell=True)",
        "subprocess.run(f'ls {x}')", "subprocess.getoutput(x)", "compile(x, '', 'exec')",
    ],
)  # fmt: skip
def test_the_search_finds(text):
    assert list(forbidden(ast.parse(text)))


# ---- malicious files ------------------------------------------------------------------------------------------


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """What is there only if something was executed, or written outside of its folder."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


def header(text, size=0):
    """A safetensors file with that header and so many bytes of data."""
    return struct.pack("<Q", len(text)) + text.encode() + bytes(size)


def entry(shape, offsets, kind="F32"):
    return json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}})


SAFETENSORS = {
    "a pickle": None,
    "nothing": b"",
    "a header without end": struct.pack("<Q", 2**63) + b"{}",
    "a header of a terabyte": struct.pack("<Q", 2**40) + b"{}",
    "a shape of exabytes": header(entry([2**60], [0, 2**62]), 8),
    "a shape that overflows": header(entry([2**33, 2**33], [0, 4]), 4),
    "a shape below nothing": header('{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 4),
    "offsets outside": header(entry([1], [4096, 4100]), 4),
    "offsets that overlap": header(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', 12
    ),
    "offsets backwards": header(entry([1], [4, 0]), 4),
    "a type of Python's objects": header(entry([1], [0, 8], "O"), 8),
    "brackets without end": header("[" * 100_000),
}  # fmt: skip


@pytest.fixture(params=SAFETENSORS)
def arrays(request, mark):
    """The bytes of a file that is to pass for safetensors."""
    content = SAFETENSORS[request.param]
    return pickle.dumps(Bomb(mark)) if content is None else content


def test_malicious_arrays_are_refused_wherever_they_lie(arrays, tmp_path):
    record = fixture.write(tmp_path / "runs", fixture.config())
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
    facts = {"schema": 1, "files": {"state.safetensors": checkpoints._digest(arrays)}}
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
    with pytest.raises(UserError, match="masks.safetensors"):
        record.masks()


DOCUMENTS = ("config.json", "environment.json", "layers.json", "result.json", "events.jsonl")
JSON = {
    "a pickle": None, "code": b'__import__("os").mkdir("mark")', "depth": b"[" * 200_000, "depth of objects": b'{"a":' * 200_000,
    "a tag": b'{"py/object": "os.mkdir", "py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["mark"]}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("kind", JSON)
def test_malicious_documents_are_refused(tmp_path, mark, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    record = fixture.write(tmp_path / "runs", fixture.config())
    (record.path / name).write_bytes(JSON[kind] or pickle.dumps(Bomb(mark)))
    if kind == "a tag" and name in ("environment.json", "events.jsonl"):
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
    with pytest.raises(UserError, match="cannot name a record"):
        records.read(record.path)
    assert main(["export", str(record.path)]) == 2


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"version": 1, "entries": {"x": 7}}', b"\x80\x04K\x07."])
def test_a_malicious_index_or_note_is_as_good_as_none(tmp_path, content):
    record = fixture.write(tmp_path, fixture.config())
    (tmp_path / index.NAME).write_bytes(content)
    (tmp_path / receipts.NAME).write_bytes(content)
    assert [each.id for each in index.read_all(tmp_path)] == [record.id]
    assert receipts.pending([record], "http://tracking.invalid", tmp_path) == [record]


@pytest.mark.parametrize("name", [*DOCUMENTS, "weights.safetensors", "masks.safetensors"])
def test_no_link_leads_out_of_a_record(tmp_path, name):
    record = fixture.write(tmp_path / "there", fixture.config())
    os.replace(record.path / name, tmp_path / "secret")
    (record.path / name).symlink_to(tmp_path / "secret")
    assert main(["import", str(tmp_path / "there"), "--records", str(tmp_path / "runs"), "--no-mlflow"]) == 2
    assert record.path / name not in record.own()
    assert not (tmp_path / "runs").exists()


# ---- suites ---------------------------------------------------------------------------------------------------

GRID = '[task]\nmodel = "lenet-300-100"\ndataset = "digits"\n[recipe]\nsteps = 9\n[grid]\nmethods = ["static"]\n'
SUITES = {
    "depth": ("title = " + "[" * 100_000, "too deep"),
    "seeds": (f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = [0.5]\nseeds = 1000000000000', "allowed are up to"),
    "a grid": (
        f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = {[k / 2000 for k in range(2000)]}\nseeds = 90000',
        "cross to 180,000,000 runs",
    ),
    "rounds": (
        f'title = "x"\n{GRID}backends = ["torch"]\nsparsities = [0.5]\n[search]\nremove = 1e-12', "search.remove: given 1e-12"
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


def png(width, height):
    """A PNG that says it is so large, and holds nothing."""
    said = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [said, b"IDAT" + zlib.compress(b""), b"IEND"]
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


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
                "a pickle": pickle.dumps(Bomb(mark)), "truncated": whole[: len(whole) // 2], "a bomb": png(60_000, 60_000),
                "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(mark) (w) file\n",
            }[kind]
        )  # fmt: skip
    split = image_folder.load(tmp_path).train
    with pytest.raises(UserError, match="cannot be used"):
        split.image(0, None)


# ---- MLflow ---------------------------------------------------------------------------------------------------


class Info:
    """What a server says of a run."""

    def __init__(self, run_id, artifact_uri):
        self.run_id, self.artifact_uri = run_id, artifact_uri


@pytest.mark.parametrize(
    ("id", "artifacts", "uri", "told"),
    [
        ("../../mark", "mlflow-artifacts:/0", "http://far.invalid", "not those of MLflow"),
        ("/tmp/mark", "mlflow-artifacts:/0", "http://far.invalid", "not those of MLflow"),
        ("", "mlflow-artifacts:/0", "http://far.invalid", "not those of MLflow"),
        ("a" * 32, "file:///root/.ssh", "http://far.invalid", "a folder of this machine"),
        ("a" * 32, "/root/.ssh", "https://far.invalid", "a folder of this machine"),
        ("a" * 32, None, "https://far.invalid", "a folder of this machine"),
    ],
)
def test_a_server_leads_to_no_file_of_this_machine(id, artifacts, uri, told):
    class Client:
        tracking_uri = uri

    with pytest.raises(ValueError, match=told):
        tracking.check_answer(Client(), Info(id, artifacts))
    tracking.check_answer(Client(), Info("0a" * 16, "mlflow-artifacts:/0/x/artifacts"))


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


# ---- memory ---------------------------------------------------------------------------------------------------

MEMORY = """
import os, resource, sys
from pathlib import Path
from sparsebench import bounded, records, states
from sparsebench.data.packing import PackedFile, unpacked
from sparsebench.errors import UserError
place = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000,) * 2)
for what in (
    lambda: states.given(place / "sparse"), lambda: states.given(Path("/dev/zero")), lambda: states.given(place / "pipe"),
    lambda: records.read(place / "record"), lambda: unpacked(PackedFile("x", 1000), place / "x.xz"),
):
    try:
        what()
    except (UserError, ValueError) as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_sizes_are_looked_at_before_memory_is_taken(tmp_path):
    """In a process that may take a gigabyte and a half: a sparse file of a terabyte, a device without end, a pipe that
    nobody writes to, a document of gigabytes, a packed file that asks for a dictionary of gigabytes."""
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**40)
    os.mkfifo(tmp_path / "pipe")
    record = fixture.write(tmp_path / "runs", fixture.config())
    os.rename(record.path, tmp_path / "record")
    with open(tmp_path / "record" / "environment.json", "ab") as file:
        file.truncate(2**33)
    (tmp_path / "x.xz").write_bytes(dictionary_of_gigabytes())
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *told, peak = done.stdout.splitlines()
    assert len(told) == 5, told
    assert "more than the" in told[0]
    assert "no regular file" in told[1]
    assert "no regular file" in told[2]
    assert "environment.json has 8,589,934,592 bytes" in told[3]
    assert "asks for too much memory" in told[4]
    assert int(peak) < 300_000, "kilobytes"


def dictionary_of_gigabytes():
    """An xz file of a few bytes whose header asks for a dictionary of 1.5 GiB, as large as the format has them here."""
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(b"x" * 100, lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=filters))
    block = packed[12:]
    length = (block[0] + 1) * 4
    place = next(k for k in range(2, length - 4) if block[k : k + 2] == b"\x21\x01") + 2
    block[place] = 37  # 3 · 2^29 bytes
    block[length - 4 : length] = struct.pack("<I", zlib.crc32(bytes(block[: length - 4])))
    packed[12:] = block
    return bytes(packed)


def test_room_is_what_the_process_may_take():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    assert 0 < bounded.room() <= 1 << 40
    assert bounded.json_room() < bounded.room()
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_AS)


# ---- what people see ------------------------------------------------------------------------------------------


def test_names_steer_no_terminal(tmp_path, capfd):
    record = fixture.write(tmp_path / "a\x1b]0;mine\x07b", fixture.config(method="\x1b[2Jx"))
    assert main(["leaderboard", "--records", str(record.path.parent)]) == 0
    (record.path / "events.jsonl").unlink()
    (record.path / "result.json").write_text('{"\x1b[31m": 1}')
    assert main(["leaderboard", "--records", str(record.path.parent)]) == 2
    assert main(["export", str(record.path)]) == 2
    out, err = capfd.readouterr()
    assert printable("�[2Jx") in out
    assert "\x1b" not in out + err
    assert "\x07" not in out + err


@pytest.mark.parametrize(
    ("host", "open_"),
    [("127.0.0.1", False), ("localhost", False), ("127.0.0.9", False), ("::1", False), ("0.0.0.0", True), ("", True),
     ("192.168.0.7", True), ("::", True), ("my-machine", True)],
)  # fmt: skip
def test_the_pages_say_what_listening_to_others_means(host, open_):
    told = ui.exposed("sqlite:////x.db", host, 5001)
    assert (told is not None) == open_
    if told:
        assert told.startswith(f"--host {host}: there is no password: whoever reaches port 5001")
        assert "read, change and delete" in told
        assert "\n" not in told
    assert ui.exposed("http://elsewhere.invalid", host, 5001) is None, "nothing listens here"


def test_the_command_warns_before_it_listens(tmp_path, monkeypatch, capsys):
    fixture.write(tmp_path, fixture.config())
    served = []
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("mirror", "publish"):
        monkeypatch.setattr(f"sparsebench.cli.board.{name}", lambda *arguments: None)
    monkeypatch.setattr(ui, "serve", lambda uri, artifacts, host, port: served.append((host, capsys.readouterr().err)))
    assert main(["ui", "--records", str(tmp_path)]) == 0
    assert main(["ui", "--records", str(tmp_path), "--host", "0.0.0.0"]) == 0
    assert served[0] == ("127.0.0.1", "")
    assert served[1][0] == "0.0.0.0"
    assert served[1][1].startswith("warning: --host 0.0.0.0: there is no password")
