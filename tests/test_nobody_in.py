"""Nobody is let in: no source executes what it reads, sizes come before memory, names steer nothing."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import records_fixture as fixture
from forbidden import forbidden
from malicious import dictionary_of_gigabytes
from sparsebench import bounded
from sparsebench.cli import main
from sparsebench_board import tracking, ui

ROOT = Path(__file__).parents[1]
SOURCES = ("harness", "backends", "models", "leaderboard", "examples", "benchmarks", ".ci", "docs")

# ---- what the sources may say ---------------------------------------------------------------------------------

ALLOWED = {
    ("harness/sparsebench/plugins.py", "entry.load"): "an entry point: an installed plugin is a program",
    ("harness/sparsebench/prepare.py", "source.load"): "a data set's own reader, a plugin's function",
    ("harness/sparsebench/data/stream.py", "picture.load"): "Pillow decodes pixels; JPEG and PNG alone are opened",
    ("harness/sparsebench/redoing.py", "ctypes.CDLL"): "None: the C library that Python runs on",
    ("harness/sparsebench/hardware/machine.py", "subprocess.run(asked)"): "a list of two lines above",
    ("harness/sparsebench/launching.py", "subprocess.Popen(command)"): "a list that is made of ours",
    ("leaderboard/sparsebench_board/ui.py", "subprocess.Popen(command)"): "a list that is made in that file",
    ("models/sparsebench_models/timm_family.py", "pretrained="): "names of timm's list, nothing is downloaded",
    ("backends/sparsebench_jax/memory.py", "trainer.lowered(state, method, feed).compile"): "XLA",
    ("backends/sparsebench_jax/program.py", "built.eval"): "flax: a network that is to be evaluated",
    ("backends/sparsebench_jax/trainer.py", "compile"): "a function of ours of that name: XLA programs",
    ("backends/sparsebench_jax/trainer.py", "sparsebench_jax.program.compile"): "the same function",
    ("harness/sparsebench/data/digits.py", "importlib.import_module"): "of a name that is written there",
    ("benchmarks/kills.py", "importlib.import_module"): "modules of ours",
    ("backends/sparsebench_torch/replicas.py", "module.eval"): "torch: a network that is to be evaluated",
    ("backends/sparsebench_torch/trainer.py", "state.module.eval"): "the same",
    ("backends/sparsebench_torch/trainer.py", "self._module(task).eval"): "the same",
    ("models/sparsebench_models/timm_torch.py", "module.eval"): "the same",
    ("harness/sparsebench/executors/ray.py", "importlib.import_module"): "of a name that is written there",
    (
        "harness/sparsebench/executors/slurm.py",
        "submitit",
    ): "pickles of ours, in a folder that its owner alone may enter",
    ("harness/sparsebench/executors/slurm.py", "submitit.core"): "the same",
    ("benchmarks/scheduling.py", "subprocess.run(command)"): "lists that stand in that file",
    ("benchmarks/scheduling.py", "preexec_fn="): "a process chooses its core",
    ("benchmarks/decoding.py", "image_folder.load"): "a data set's own reader",
    ("benchmarks/kills.py", "os.execve"): "itself once more, alone on its cores",
    (".ci/audit.py", "subprocess.run(command)"): "a list that stands in that file",
}
"""(file, what is spoken) -> why it neither executes what was read nor asks a shell."""


@pytest.fixture(scope="module")
def spoken():
    """All that the search finds in the sources, with its file."""
    paths = sorted(path for root in SOURCES for path in (ROOT / root).rglob("*.py"))
    assert len(paths) > 200
    return {
        (path.relative_to(ROOT).as_posix(), what)
        for path in paths
        for what in forbidden(ast.parse(path.read_text(encoding="utf-8")))
    }


def test_nothing_in_the_sources_unpickles_evaluates_or_asks_a_shell(spoken):
    """Workers get their jobs as multiprocessing sends them: pickled by one of our processes for another, through a pipe
    that nobody else has, and to Slurm as submitit does, through a folder that nobody else may enter; what comes from
    any other file is never."""
    assert spoken - ALLOWED.keys() == set()


def test_every_exception_is_still_needed(spoken):
    assert ALLOWED.keys() - spoken == set()


FOUND = [
    "import pickle", "import pickle as json", "from dill import loads", "import yaml",
    "import joblib.numpy_pickle as j", "importlib.import_module(x)",
    "from multiprocessing.reduction import ForkingPickler", "reduction.ForkingPickler.loads(x)",
    "multiprocessing.reduction.ForkingPickler(x)", "from sklearn.externals import joblib", "import builtins",
    "eval(x)", "exec(x)", "__import__(x)", "compile(x, '', 'exec')", "f = eval", "map(exec, x)", "builtins.exec(x)",
    "b.eval(x)", "getattr(b, 'exec')(x)", "__builtins__['eval'](x)", "from builtins import exec as run",
    "torch.load(f)", "from torch import load", "from torch import load as read", "import torch as t\nt.load(f)",
    "torch.jit.load(f)", "torch.hub.load(f)", "f = torch.load", "import torch as json\njson.load(f)",
    "from torch import hub as plugins", "torch.hub.load_state_dict_from_url(u)", "self.torch.load(f)",
    "timm.create_model(n, pretrained=True)", "mlflow.pyfunc.load_model(u)", "pandas.read_pickle(f)",
    "from pandas import read_pickle", "np.load(f)", "jnp.load(f)", "read(f, allow_pickle=True)",
    "torch.read(f, weights_only=False)", "logging.config.fileConfig(f)", "runner.run_path(f)",
    "spec.loader.exec_module(m)", "ctypes.CDLL(f)", "ctypes.cdll.LoadLibrary(f)",
    "os.system(x)", "from os import system", "from os import system as tell", "os.popen(x)",
    "import os as o\no.popen(x)",
    "os.execvp(x, y)", "os.spawnl(m, x)", "os.posix_spawn(x, y, z)",
    "subprocess.run(x, shell=True)", "subprocess.run(x, shell=False)", "subprocess.run([x], **{'shell': True})",
    "subprocess.run([x], **settings)", "subprocess.run(f'ls {x}')", "subprocess.run('ls ' + x)", "subprocess.run(name)",
    "subprocess.run(args=x)", "subprocess.run()", "subprocess.check_output(name)", "s.check_output(name)",
    "import subprocess as s\ns.run(x)", "from subprocess import run", "from subprocess import check_output as c",
    "subprocess.run(x.split())", "subprocess.run(['sh', '-c', x])", "subprocess.Popen(['/bin/bash', '-c', x])",
    "subprocess.run([x], executable='/bin/sh')", "subprocess.getoutput(x)", "subprocess.getstatusoutput(x)",
    "getattr(subprocess, 'run')(x)", "begin = subprocess.run", "partial(subprocess.check_call, shell)",
    "asyncio.create_subprocess_shell(x)", "loop.subprocess_shell(p, x)",
    "from asyncio import create_subprocess_shell", "asyncio.create_subprocess_exec(*x)",
    "asyncio.create_subprocess_exec('sh', '-c', x)",
]  # fmt: skip


@pytest.mark.parametrize("text", FOUND)
def test_the_search_finds(text):
    assert list(forbidden(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "json.loads(x)", "tomllib.load(f)", "from safetensors.numpy import load", "re.compile(x)",
        "from json import loads",
        "plugins.load('methods', x)", "from sparsebench import suite as suites\nsuites.load(x)", "import subprocess",
        "subprocess.run([sys.executable, '-c', TEXT, str(x)], timeout=9)", "subprocess.run([x] + ['y'], text=True)",
        "from subprocess import PIPE, TimeoutExpired", "asyncio.create_subprocess_exec('ls', x)", "runner.run(x, y)",
        "pool.run(work)", "def f(p: subprocess.Popen[str]): ...", "timm.create_model(n, pretrained=False)",
    ],
)  # fmt: skip
def test_the_search_passes_over(text):
    assert list(forbidden(ast.parse(text))) == []


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


# ---- pages ----------------------------------------------------------------------------------------------------


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
