"""The worker pool, with work that counts, fails, dies and waits."""

import os
import signal
import threading
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebench.errors import UserError
from sparsebench.executors import pool
from sparsebench.worker import Failed, Finished, Progressed, Started, Told, share_politely


def work(argument, report):
    """Report the process that did it, then do as told."""
    report(os.getpid(), 0)
    match argument:
        case "user":
            raise UserError("no such thing: give another")
        case "crash":
            raise RuntimeError("first line\nsecond line")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "wait":
            time.sleep(60)
        case "environment":
            assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
            report(len(os.sched_getaffinity(0)), int(os.environ["OMP_NUM_THREADS"]))
            report.tell("somebody should know")
            print("a framework says hello")


def done(tmp_path, jobs, workers=1, task=work):
    """All that was told, job by job."""
    told = {job.id: [] for job in jobs}
    for job, event in pool.run(task, jobs, workers, tmp_path / "log"):
        told[job.id].append(event)
    return told


def process(events):
    return next(event.done for event in events if isinstance(event, Progressed))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_worker_for_a_lane_in_order_and_none_left_behind(tmp_path):
    jobs = [pool.Job(f"{lane}{k}", lane, "") for k in range(2) for lane in ("a", "b")]
    with closing(pool.run(work, jobs, 1, tmp_path / "log")) as events:
        told = [(job.id, event) for job, event in events]
    order = [id for id, event in told if event == Started()]
    assert order == ["a0", "a1", "b0", "b1"]
    by_job = {id: [event for other, event in told if other == id] for id in order}
    assert all(events[-1] == Finished() for events in by_job.values())
    pids = {id: process(events) for id, events in by_job.items()}
    assert pids["a0"] == pids["a1"] != pids["b0"] == pids["b1"]
    assert os.getpid() not in pids.values()
    assert not any(map(alive, pids.values()))


def test_what_fails_costs_only_itself(tmp_path):
    jobs = [pool.Job(what, "lane", what) for what in ("user", "crash", "kill", "exit", "fine")]
    told = done(tmp_path, jobs)
    assert told["user"][-1] == Failed("no such thing: give another")
    assert told["crash"][-1] == Failed("RuntimeError: first line second line", logged=True)
    assert "SIGKILL" in told["kill"][-1].reason
    assert "exit code 3" in told["exit"][-1].reason
    assert told["fine"][-1] == Finished()
    pids = {what: process(events) for what, events in told.items()}
    assert pids["user"] == pids["crash"] == pids["kill"], "an exception does not cost the worker"
    assert len({pids["kill"], pids["exit"], pids["fine"]}) == 3, "a lost worker is replaced"
    log = (tmp_path / "log").read_text()
    assert log.count("Traceback") == 1
    assert "second line" in log


def test_two_workers_share_the_lanes(tmp_path):
    jobs = [pool.Job(f"{lane}{k}", lane, "") for lane in ("a", "b") for k in range(2)]
    told = done(tmp_path, jobs, workers=2)
    assert process(told["a0"]) != process(told["b0"])
    assert all(events[-1] == Finished() for events in told.values())


def test_a_worker_has_its_cores_and_prints_to_the_log(tmp_path):
    cores = len(pool.available_cores())
    told = done(tmp_path, [pool.Job("x", "lane", "environment")], workers=1)
    assert Progressed(cores, cores) in told["x"]
    assert told["x"][-2:] == [Told("somebody should know"), Finished()]
    assert "hello" in (tmp_path / "log").read_text()


def test_threads_wait_asleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    share_politely()
    assert os.environ == {"OMP_WAIT_POLICY": "PASSIVE", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    share_politely()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_closing_ends_what_is_running(tmp_path):
    with closing(pool.run(work, [pool.Job("x", "lane", "wait")], 1, tmp_path / "log")) as events:
        pid = next(event.done for _, event in events if isinstance(event, Progressed))
        assert alive(pid)
    assert not alive(pid)


def interrupt_once_running(tmp_path, pids):
    for _, event in pool.run(work, [pool.Job("x", "lane", "wait")], 1, tmp_path / "log"):
        if isinstance(event, Progressed):
            pids.append(event.done)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_an_interrupt_ends_what_is_running(tmp_path):
    pids = []
    with pytest.raises(KeyboardInterrupt):
        interrupt_once_running(tmp_path, pids)
    assert len(pids) == 1
    assert not alive(pids[0])


def test_nothing_to_do_starts_nothing(tmp_path):
    assert done(tmp_path, [], workers=3) == {}
    assert not (tmp_path / "log").exists()


@given(st.integers(1, 64), st.integers(1, 64))
def test_shares_are_even_and_disjoint(cores, workers):
    parts = pool.shares(range(cores), workers)
    assert len(parts) == workers
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    used = [core for part in parts for core in part]
    assert set(used) == set(range(cores)) if workers >= cores else len(set(used)) == len(used) == cores
