"""A run handed to a launcher: what is said comes through, errors and signals too, and nothing outlives its end."""

import json
import os
import signal
import sys

import pytest

import toy
from sparsebench.cli.signals import Ended, as_exceptions
from sparsebench.config import Recipe, RunConfig
from sparsebench.errors import UserError
from sparsebench.launch import Launch, launched, speaks
from sparsebench.launching import Job, train

pytest_plugins = ("command_line",)

CONFIG = RunConfig(model="lenet-300-100", dataset="dots", method="rigl", backend="toy", recipe=Recipe(steps=3))
BEGIN = "import json, os, signal, sys, time\nsay = lambda **fact: print(json.dumps(fact), flush=True)\n"


@pytest.fixture
def launch(tmp_path):
    """Trains a job by a launcher that does what it is given; returns what was reported and told."""
    job = Job(CONFIG, tmp_path, "cpu", 300.0)

    def run(script, on_report=lambda: None):
        (tmp_path / "launcher.py").write_text(BEGIN + script)
        reported, told = [], []

        def report(done, steps):
            reported.append((done, steps))
            on_report()

        try:
            train([sys.executable, str(tmp_path / "launcher.py")], job, 2, report, told.append, tmp_path / "log")
        finally:
            run.reported = reported
        return reported, told

    return run


def test_a_job_is_what_it_was():
    for changes in ({}, {"data": "a b", "weights": "c"}):
        job = Job(CONFIG, "r", "cuda", 0.5, **changes)
        given = {name: str(value) for name, value in vars(Job.read(job.text())).items()}
        assert given == {name: str(value) for name, value in vars(job).items()}


def test_progress_and_warnings_come_through(launch, tmp_path):
    script = """
say(done=1, steps=3)
say(tell=f"{sys.argv[1:3]} {os.getsid(0) == os.getpid()} {int(os.environ['OMP_NUM_THREADS']) >= 1}")
say(tell=json.loads(sys.argv[3])["config"]["method"])
say(done=3, steps=3)
"""
    reported, told = launch(script)
    assert reported == [(1, 3), (3, 3)]
    assert told == ["['-m', 'sparsebench.replica'] True True", "rigl"]
    assert (tmp_path / "log").read_text() == ""


def test_a_mistake_comes_through_and_not_what_follows_from_it(launch):
    with pytest.raises(UserError, match=r"^the image is damaged$"):
        launch('say(mistake="the image is damaged"); say(mistake="nobody answers"); sys.exit(1)')


def test_a_lost_replica_is_one_line_and_its_traces_are_in_the_log(launch, tmp_path):
    with pytest.raises(UserError, match=r"^one of 2 replicas is lost .see .*log.: the same command continues"):
        launch('print("signal 9", file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)')
    assert (tmp_path / "log").read_text() == "signal 9\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_once_and_acts_when_they_have_ended(launch, number):
    script = """
def end(*_):
    say(done=2, steps=3)
    sys.exit(143)

signal.signal(signal.SIGTERM, end)
say(done=1, steps=3)
time.sleep(60)
"""
    asked = []

    def ask():
        if not asked:
            asked.append(number)
            signal.raise_signal(number)

    with pytest.raises((Ended, KeyboardInterrupt)), as_exceptions():
        launch(script, ask)
    assert launch.reported == [(1, 3), (2, 3)]


def test_what_it_says_wrong_ends_it(launch, tmp_path):
    script = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); say(what=1); time.sleep(60)"
    with pytest.raises(AssertionError, match="what"):
        launch(script)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# ---- what is refused before anything starts -----------------------------------------------------------------------

PLUGINS = "[sparsebench.backends]\nspreading = many:spreading\nwaiting = many:waiting\n"
MODULE = """
from sparsebench.trainer import Backend, Spread
from toy import BUILDERS, Toy

def two(device):
    return None if device == "cpu" else 2

spreading = Backend("spreading", "has two", lambda device: Toy(), builders=BUILDERS,
                    spread=Spread(None, starter=lambda devices: [], count=two))
waiting = Backend("waiting", "starts nothing", lambda device: Toy(), builders=BUILDERS, spread=Spread(None))
"""


@pytest.fixture
def many(folder, command):
    """The command line, with backends that train on several devices, or say so."""
    site = folder.parent / "site"
    toy.install(site, "many", PLUGINS)
    (site / "many.py").write_text(MODULE)

    def train(*arguments):
        return command("train", "--dataset", "dots", "--no-mlflow", "--recipe.batch-size", 4, *arguments)

    return train


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--devices", 0], 'Invalid value "0" for --devices. Must be >= 1. See `sparsebench train --help`.'),
        (
            ["--devices", 2, "--backend", "toy"],
            "backend 'toy' trains on one device: leave --devices out, or give another backend",
        ),
        (
            ["--devices", 2, "--backend", "waiting"],
            "backend 'waiting' cannot start 2 processes: start them, as torchrun or srun do",
        ),
        (
            ["--devices", 3, "--backend", "spreading"],
            "a batch of 4 samples cannot be shared equally by 3 devices: give a batch size (of each accumulated part) "
            "that is a multiple of 3, or other --devices",
        ),
    ],
    ids=["none", "one device", "no launcher", "unequal"],
)
def test_mistakes_are_one_line(many, arguments, line):
    assert many(*arguments) == (2, [], [f"error: {line}"])


def test_more_devices_than_there_are_is_one_line(many, folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder.parent / "site"), os.path.dirname(toy.__file__)]))
    code, out, errors = many("--devices", 4, "--backend", "spreading", "--device", "cuda")
    assert (code, out) == (2, [])
    assert errors == ["error: --devices 4: backend 'spreading' sees 2 cuda here: give at most 2"]


def test_of_replicas_the_first_one_speaks():
    address = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
    second = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"} | address
    assert [speaks({}), speaks(second), speaks(second | {"RANK": "0"}), speaks({"WORLD_SIZE": "x"})] == [
        True, False, True, True,
    ]  # fmt: skip
    assert launched(second) == Launch(2, rank=1, processes=2, local=1, address="node1:29500")
    assert json.loads(Job(CONFIG, "r", "cpu", 1.0).text())["records"] == "r"


def test_slurms_warning_before_the_time_limit_ends_no_replica(launch):
    """Slurm sends it to every process of a job; the one that started them asks them to end."""
    script = """
import subprocess
warn = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('goes on')"
os.kill(os.getpid(), signal.SIGUSR2)
said = subprocess.run([sys.executable, "-c", warn], stdout=subprocess.PIPE, text=True)
say(tell=f"{said.returncode} {said.stdout.strip()}")
"""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert launch(script) == ([], ["0 goes on"])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
