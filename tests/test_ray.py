"""Ray on a cluster of this machine: a head without cores and two nodes of one each; workers, nodes and commands die."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import errands
import toy
from sparsebench import checkpoints, records
from sparsebench.errors import UserError
from sparsebench.executors import ray as on_ray
from sparsebench.worker import Progressed

pytest.importorskip("ray")
pytest_plugins = ("command_line",)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),  # Ray's, where another test used JAX
]

SLOW = toy.SUITE.replace("seeds = 2", f"seeds = [{toy.SLOW}]").replace("steps = 12", "steps = 16")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Its nodes can import the tests, and toys where a folder of this module has them."""
    from ray.cluster_utils import Cluster

    site = tmp_path_factory.mktemp("ray") / "site"
    toy.install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(site))))
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            found.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
        found.shutdown()


@pytest.fixture
def resources(cluster):
    with on_ray.connected(None) as found:
        yield found


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b" Z " not in Path(f"/proc/{pid}/stat").read_bytes()


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_room_is_that_of_nodes():
    small, large = {"CPU": 8.0, "GPU": 1.0}, {"CPU": 64.0, "GPU": 8.0}
    assert on_ray.sized([small, large], None, "cuda", 1) == on_ray.Ray(9, cpus=8, gpus=1)
    assert on_ray.sized([small, large], None, "cuda", 4) == on_ray.Ray(2, cpus=32, gpus=4)
    assert on_ray.sized([small, large], None, "cpu", 1) == on_ray.Ray(72, cpus=1)
    assert on_ray.sized([small, large], 1, "cpu", 1) == on_ray.Ray(1, cpus=64), "no node has more"
    with pytest.raises(UserError, match="a run takes 16 GPUs of one node, and no node has them"):
        on_ray.sized([small, large], None, "cuda", 16)


def test_what_fails_is_told_and_what_is_lost_is_done_again(resources, tmp_path):
    executor = on_ray.sized(resources, None, "cpu", 1)
    assert (executor.slots, executor.cpus) == (2, 1)
    jobs = errands.jobs(tmp_path, *errands.ENDS)
    told = [(job.id, event) for job, event in executor.run(errands.run, jobs, tmp_path / "log")]
    errands.check(told, tmp_path / "log")
    assert not list(tmp_path.glob(".partial-*"))


def test_closing_leaves_no_process(resources, tmp_path):
    executor = on_ray.sized(resources, 1, "cpu", 1)
    with closing(executor.run(errands.run, errands.jobs(tmp_path, "wait", "fine"), tmp_path / "log")) as events:
        next(event for _, event in events if isinstance(event, Progressed))
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            time.sleep(0.05)
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
    assert not alive(pid)
    assert not (tmp_path / "fine").exists()


# ---- suites ---------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(command, cluster, monkeypatch, tmp_path):
    """A suite of two runs of three seconds, which note what process trains them."""
    Path("toys.toml").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(tmp_path / "site"))))
    return command


def trainers():
    """Processes that actors of the cluster have started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            spawned = b"spawn_main" in (process / "cmdline").read_bytes()
            if spawned and b"ray::" in Path(f"/proc/{parent(process.name)}/cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def once_kept(monkeypatch, count, act, **fields):
    """Act when so many runs have a checkpoint here; the executor has these fields."""
    run, sized, done = on_ray.Ray.run, on_ray.sized, []

    def acting(self, *arguments):
        for job, event in run(self, *arguments):
            yield job, event
            if not done and len({path.parent for path in Path("runs").glob(".checkpoints/*/0*")}) >= count:
                done.append(job.id)
                act()

    monkeypatch.setattr(on_ray.Ray, "run", acting)
    monkeypatch.setattr(on_ray, "sized", lambda *given: replace(sized(*given), **fields))


def resumed():
    assert not Path("runs", checkpoints.FOLDER).exists()
    assert not list(Path("runs").glob(".partial-*"))
    return [bool(record.environment.get("resumed")) for record in records.read_all(Path("runs"))]


def test_a_killed_worker_costs_nothing_but_the_way_from_its_checkpoint(slow, monkeypatch):
    """On nodes that are treated as if they did not see the records: checkpoints come here and go there again."""
    once_kept(monkeypatch, 1, lambda: [os.kill(pid, signal.SIGKILL) for pid in trainers()], fetch=True)
    code, out, err = slow("run", "toys.toml", "--on", "ray", "--slots", "1", "--checkpoint-every", "0")
    assert code == 0, err
    assert out[0] == "2 of 2 runs to do, 1 at a time"
    (line,) = err
    assert " waits again, and continues from its last checkpoint: its worker process was ended by SIGKILL" in line
    assert sorted(resumed()) == [False, True]


def test_a_killed_command_and_a_lost_node_cost_only_what_was_in_flight(slow, cluster, monkeypatch):
    words = ["run", "toys.toml", "--on", "ray", "--checkpoint-every", "0"]
    begun = subprocess.Popen([sys.executable, "-m", "sparsebench.cli", *words], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len({path.parent for path in Path("runs").glob(".checkpoints/*/0*")}) < 2:
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    begun.kill()
    begun.wait()
    assert not list(records.paths(Path("runs")))

    once_kept(monkeypatch, 2, lambda: cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False))
    code, out, err = slow(*words)
    assert code == 0, err
    assert out[0] == "2 of 2 runs to do, 2 at a time"
    assert err
    assert all(" continues from its last checkpoint: a worker or its node is gone" in line for line in err), err
    assert resumed() == [True, True]
