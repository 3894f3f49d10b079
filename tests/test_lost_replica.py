"""A replica is killed in the middle of a suite: its run ends in one line, and goes on from there on one device."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import two_replicas as pair
from sparsebench import records

SUITE = pair.SUITE.replace('["dense", "set"]', '["set"]').replace("steps = 20", "steps = 3000").replace("= 7", "= 50")


def replicas(place):
    """Processes that train a run of this folder: those that the launcher has started, by id."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "sparsebench.replica" in words and "torch.distributed.run" not in words and str(place) in " ".join(words):
            found.append(int(process.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
def test_a_killed_replica_ends_the_run_and_one_device_goes_on(tmp_path):
    (tmp_path / "two.toml").write_text(SUITE)
    place = tmp_path / "runs"
    command = [sys.executable, "-m", "sparsebench.cli", "run", "two.toml", "--records", place, "--no-mlflow"]
    begun = subprocess.Popen(
        [*command, "--devices", "2", "--checkpoint-every", "0"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(place.glob(".checkpoints/*/[0-9]*/progress.json")):
        assert begun.poll() is None, begun.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    one, other = replicas(place)
    os.kill(other, signal.SIGKILL)
    out, errors = begun.communicate(timeout=120)
    assert (begun.returncode, out.splitlines()[0]) == (1, "1 of 1 runs to do, 1 at a time")
    (line,) = errors.splitlines()
    assert line.startswith("error: set 0.9 torch seed 0: one of 2 replicas is lost (see ")
    assert line.endswith("the same command continues from the last checkpoint")
    assert replicas(place) == [], f"{one} has ended with it"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert all("begun with threads" in line for line in done.stderr.splitlines()), "a worker has fewer cores than two"
    (record,) = map(records.read, records.paths(place))
    assert record.environment["devices"] == 1
    assert len(record.environment["resumed"]) == 1
