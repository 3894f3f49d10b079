"""Nobody is let in: no source executes what it reads, sizes come before memory, names steer nothing."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import records_fixture as fixture
from malicious import dictionary_of_gigabytes
from sparsebench import bounded, seals
from sparsebench.cli import main
from sparsebench.cli.output import printable
from sparsebench_board import tracking, ui

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
        "import pickle", "from dill import loads", "import yaml", "eval(x)", "exec(x)", "__import__(x)",
        "torch.load(f)",
        "np.load(f)", "read(f, allow_pickle=True)", "os.system(x)", "subprocess.run(x, shell=True)",
        "subprocess.run(f'ls {x}')", "subprocess.getoutput(x)", "compile(x, '', 'exec')",
    ],
)  # fmt: skip
def test_the_search_finds(text):
    assert list(forbidden(ast.parse(text)))


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
    lambda: states.given(place / "sparse"), lambda: states.given(Path("/dev/zero")),
    lambda: states.given(place / "pipe"),
    lambda: records.read(place / "record"), lambda: unpacked(PackedFile("x", 1000), place / "x.xz"),
):
    try:
        what()
    except (UserError, ValueError) as error:
        print(error)
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print(peak.split()[1])  # not getrusage: its peak begins at that of the process that started this one
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
    seals.write(record.path)
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


def test_what_a_container_has_taken_is_no_room(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(bounded, "GROUPS", {str(tmp_path / "memory.max"): "memory.current"})
    assert bounded.room() == 600_000
