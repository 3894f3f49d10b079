"""Slurm through submitit: its local executor for what happens to jobs, and commands that stand in for Slurm's own."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import errands
import fake_slurm
import toy
from sparsebench import checkpoints, records
from sparsebench.executors import slurm
from sparsebench.executors.slurm import Slurm
from sparsebench.worker import Failed, Finished, Lost, Progressed

pytest.importorskip("submitit")
pytest_plugins = ("command_line",)
pytestmark = pytest.mark.slow

SHORTLY = {"every": 0.05, "lag": 0.0}
LOCAL = {"cluster": "local", **SHORTLY}


@pytest.fixture(autouse=True)
def importable(monkeypatch, tmp_path):
    """What jobs import by name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(tmp_path / "site"))))


def alive(pid):
    try:
        os.kill(pid, 0)
        return b" Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (ProcessLookupError, FileNotFoundError):  # also between the two
        return False


def errand(place):
    """The process of an errand that waits."""
    while not ((place / "pid").exists() and (place / "pid").read_text()):
        time.sleep(0.05)
    return int((place / "pid").read_text())


def gone(*pids):
    """Whether they have ended, at once or within moments: a worker says that it ends before it does."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_what_fails_is_told_and_what_is_lost_is_done_again(tmp_path):
    jobs = errands.jobs(tmp_path, *errands.ENDS)
    executor = Slurm(2, **LOCAL)
    told = [(job.id, event) for job, event in executor.run(errands.run, jobs, tmp_path / "log")]
    errands.check(told, tmp_path / "log")
    assert not list(tmp_path.glob(".partial-*")), "nothing of submitit's is left"


def test_closing_cancels_what_runs_and_leaves_no_process(tmp_path):
    with closing(
        Slurm(1, **LOCAL).run(errands.run, errands.jobs(tmp_path, "wait", "fine"), tmp_path / "log")
    ) as events:
        next(event for _, event in events if isinstance(event, Progressed))
        pid = errand(tmp_path)
        assert alive(pid)
    assert not alive(pid)
    assert not (tmp_path / "fine").exists()


def test_a_suite_whose_worker_is_killed_goes_on_from_its_checkpoint(command, monkeypatch, tmp_path):
    Path("toys.toml").write_text(toy.SUITE.replace("seeds = 2", f"seeds = [0, {toy.SLOW}]"))
    begun = tmp_path / "begun"
    monkeypatch.setenv(toy.LOG, str(begun))
    monkeypatch.setattr(slurm, "Slurm", lambda slots, parameters: Slurm(slots, parameters, **LOCAL))
    killed, told = [], Slurm.run

    def killing(self, *arguments):
        """One of the runs is killed once it has a checkpoint."""
        for job, event in told(self, *arguments):
            yield job, event
            if f"seed{toy.SLOW}" in job.id and not killed and list(checkpoints.folder(Path("runs"), job.id).glob("0*")):
                killed.append(job.id)
                pid = next(int(line.split()[0]) for line in reversed(begun.read_text().splitlines()))
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(Slurm, "run", killing)
    words = ["--on", "slurm", "--slurm", "time=1", "--slots", "1", "--checkpoint-every", "0"]
    code, out, err = command("run", "toys.toml", *words)
    assert code == 0, err
    assert out[0] == "4 of 4 runs to do, 1 at a time"
    (line,) = err
    assert line.startswith(f"{killed[0]} waits again, and continues from its last checkpoint: Slurm job ")
    resumed = {record.id: record.environment.get("resumed") for record in records.read_all(Path("runs"))}
    assert len(resumed) == 4
    assert [id for id, steps in resumed.items() if steps] == killed
    assert resumed[killed[0]][0] > 0


# ---- Slurm's own commands -------------------------------------------------------------------------------------


def test_a_batch_file_says_what_was_asked_for_and_a_job_ends_well(tmp_path, monkeypatch):
    place = fake_slurm.install(tmp_path, monkeypatch)
    executor = Slurm(1, {"time": "1:00:00", "partition": "gpu", "gpus-per-node": "2"}, **SHORTLY)
    (tmp_path / "runs").mkdir()
    jobs = errands.jobs(tmp_path, "fine", "once")
    events = [event for _, event in executor.run(errands.run, jobs, tmp_path / "runs" / "log")]
    assert Finished("fine") in events
    assert Finished("once") in events
    assert next(event for event in events if isinstance(event, Lost)).reason.endswith(": node_fail")
    lines = (place / "batch").read_text().splitlines()
    for option in (
        "time=1:00:00",
        "partition=gpu",
        "gpus-per-node=2",
        "nodes=1",
        "ntasks-per-node=1",
        "signal=USR2@90",
    ):
        assert f"#SBATCH --{option}" in lines


def test_a_job_that_somebody_cancels_is_not_begun_again(tmp_path, monkeypatch):
    place = fake_slurm.install(tmp_path, monkeypatch)
    monkeypatch.setattr(slurm, "ASKED", 0.1)
    (tmp_path / "runs").mkdir()
    executor, told = Slurm(1, {"time": "1"}, **SHORTLY), []
    for _, event in executor.run(errands.run, errands.jobs(tmp_path, "keep"), tmp_path / "runs" / "log"):
        told.append(event)
        if isinstance(event, Progressed):
            errand(tmp_path)
            subprocess.run(["scancel", (place / "last").read_text().strip()], check=True)
    assert told[-1] == Failed("its Slurm job was cancelled by somebody else", logged=True)
    assert (tmp_path / "kept").exists()
    assert gone(int((place / "last").read_text()), errand(tmp_path))


def test_closing_waits_until_cancelled_workers_have_kept_their_checkpoint(tmp_path, monkeypatch):
    """Slurm says at once that a job is cancelled; the folder that its worker writes to is removed afterwards."""
    place = fake_slurm.install(tmp_path, monkeypatch)
    (tmp_path / "runs").mkdir()
    with closing(
        Slurm(1, {"time": "1"}, **SHORTLY).run(
            errands.run, errands.jobs(tmp_path, "keep", "fine"), tmp_path / "runs" / "log"
        )
    ) as events:
        next(event for _, event in events if isinstance(event, Progressed))
        errand(tmp_path)
    assert (tmp_path / "kept").exists()
    assert (place / f"{(place / 'last').read_text().strip()}.state").read_text().startswith("CANCELLED")
    assert gone(errand(tmp_path))
    assert not (tmp_path / "fine").exists()
    assert not list((tmp_path / "runs").glob(".partial-*"))


def test_ctrl_c_leaves_checkpoints_and_no_process(command, monkeypatch, tmp_path):
    (tmp_path / "slurm").mkdir()
    fake_slurm.install(tmp_path / "slurm", monkeypatch)
    Path("toys.toml").write_text(toy.SUITE.replace("seeds = 2", f"seeds = [{toy.SLOW}]").replace("12", "200"))
    monkeypatch.setenv(toy.LOG, str(tmp_path / "begun"))
    monkeypatch.setattr(slurm, "Slurm", lambda slots, parameters: Slurm(slots, parameters, **SHORTLY))
    run = Slurm.run

    def interrupted(self, *arguments):
        """Ctrl-C, once both runs are under way."""
        under_way = set()
        with closing(run(self, *arguments)) as events:
            for job, event in events:
                yield job, event
                if isinstance(event, Progressed):
                    under_way.add(job.id)
                if len(under_way) == 2:
                    signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Slurm, "run", interrupted)
    code, _, err = command("run", "toys.toml", "--on", "slurm", "--slurm", "time=1", "--checkpoint-every", "1000")
    kept = sorted(Path("runs").glob(f"{checkpoints.FOLDER}/*/0*"))
    assert code == 130, err
    assert len(kept) == 2
    pids = {int(line.split()[0]) for line in (tmp_path / "begun").read_text().splitlines()}
    assert len(pids) == 2
    assert gone(*pids)
    assert sorted(Path("runs").glob(f"{checkpoints.FOLDER}/*/0*")) == kept


def test_what_sbatch_refuses_is_told_in_one_line(command, tmp_path, monkeypatch):
    fake_slurm.install(tmp_path, monkeypatch)
    words = ["--on", "slurm", "--slurm", "time=1", "--slurm", "partition=nowhere"]
    code, _, err = command("run", "toys.toml", *words)
    assert (code, len(err)) == (2, 1), err
    assert "sbatch refuses a job (" in err[0]
    assert "invalid partition specified: nowhere" in err[0]


OUT_OF_TIME = """
import os, signal, sys, time
from pathlib import Path
from sparsebench.executors.slurm import _serve
from sparsebench.stopping import Stopped, deferred

def work(argument, report):
    with deferred() as asked:
        os.kill(os.getpid(), signal.SIGUSR2)
        while not asked():
            time.sleep(0.01)
        Path(sys.argv[1]).touch()
        raise Stopped

_serve(work, None, Path(sys.argv[1] + ".steps"))
"""


def test_slurms_warning_before_the_time_limit_is_a_reason_to_keep_a_checkpoint(tmp_path):
    done = subprocess.run([sys.executable, "-c", OUT_OF_TIME, tmp_path / "kept"], timeout=60)
    assert done.returncode == -signal.SIGTERM
    assert (tmp_path / "kept").exists()
