"""Executors other than the pool: what jobs wait for, what is lost, what comes back from nodes that see no folder."""

from collections import Counter

import pytest

import records_fixture as fixture
from sparsebench import checkpoints, records
from sparsebench.cli import on as who
from sparsebench.errors import UserError
from sparsebench.executors import fetching, pool
from sparsebench.executors.jobs import TIMES, Job, Queue
from sparsebench.worker import Finished, Lost, Progressed

pytest_plugins = ("command_line",)

# ---- jobs that wait -------------------------------------------------------------------------------------------


def test_a_lost_job_comes_next_and_not_for_ever():
    queue = Queue.of([Job("a", "lane", None), Job("b", "lane", None), Job("c", "lane", None, after="a")])
    job = queue.take(Counter())
    for k in range(TIMES - 1):
        assert list(queue.told(job, Progressed(5 - k, 9))) == [(job, Progressed(5 - k, 9))]
        assert list(queue.told(job, Progressed(8, 9))) == [(job, Progressed(8, 9))]
        assert list(queue.told(job, Lost("gone"))) == [(job, Lost("gone"))]
        assert queue.take(Counter()) is job, "before b"
    told = {each.id: event for each, event in queue.told(job, Lost("gone"))}
    assert set(told) == {"a", "c"}, "with what waits for it"
    assert told["a"].reason == "its worker was lost 3 times with no checkpoint between (gone)"
    assert [queue.take(Counter()).id, queue.take(Counter())] == ["b", None]


def test_a_job_that_continues_further_on_each_time_is_never_given_up():
    queue = Queue.of([Job("a", "lane", None)])
    for begun in range(3 * TIMES):
        job = queue.take(Counter())
        assert list(queue.told(job, Progressed(begun, 99)))
        assert list(queue.told(job, Lost("out of time"))) == [(job, Lost("out of time"))]
    assert list(queue.told(queue.take(Counter()), Finished())) == [(job, Finished())]
    assert not queue.unfinished


# ---- slots ----------------------------------------------------------------------------------------------------


def test_gpus_are_those_the_environment_allows_or_the_system_has(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert pool.gpus({}, tmp_path) == ("0", "1", "2"), "CUDA numbers what it sees"
    assert pool.gpus({"CUDA_VISIBLE_DEVICES": "4, GPU-ab,MIG-1"}, tmp_path) == ("4", "GPU-ab", "MIG-1")
    assert pool.gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()


def test_slots_have_their_own_gpus_or_share_them_in_turn():
    four = ("0", "1", "2", "3")
    assert pool.portions(four, 1, 4) == [("0",), ("1",), ("2",), ("3",)]
    assert pool.portions(four, 2, 2) == [("0", "1"), ("2", "3")]
    assert pool.portions(four, 3, 2) == [("0", "1", "2")] * 2
    assert pool.portions(four, 1, 6)[3:] == [("3",), ("0",), ("1",)]
    assert pool.portions((), 1, 2) == [(), ()]


# ---- what the command line refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--on", "moon"], "--on moon: allowed: local, slurm, ray, ray://HOST:PORT"),
        (["--on", "ray://x"], "--on ray://x: allowed: local, slurm, ray, ray://HOST:PORT"),
        (["--slurm", "time=1"], "--slurm is for --on slurm: give both, or leave --slurm out"),
        (["--on", "slurm"], "--on slurm: say how long a job may take: --slurm time=HH:MM:SS"),
        (["--on", "slurm", "--slurm", "time"], "--slurm time: give KEY=VALUE"),
        (["--on", "slurm", "--slurm", "time=1"], "--on slurm: there is no sbatch here"),
    ],
)
def test_what_nobody_can_do_is_refused_in_one_line(command, monkeypatch, words, told):
    monkeypatch.setenv("PATH", "")
    code, _, err = command("run", "toys.toml", *words)
    assert (code, len(err)) == (2, 1)
    assert err[0].startswith(f"error: {told}")


@pytest.mark.parametrize(("on", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_extra_that_is_missing_is_named(command, monkeypatch, on, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    words = ["--slurm", "time=1"] if on == "slurm" else []
    code, _, err = command("run", "toys.toml", "--on", on, *words)
    assert (code, len(err)) == (2, 1)
    assert f"pip install 'sparsebench[{on}]'" in err[0]


def test_gpus_of_a_run_are_asked_of_slurm_unless_they_are_asked_for_otherwise():
    assert who._sbatch(["time=1"], "cuda", 4) == {"time": "1", "gpus-per-node": "4"}
    assert who._sbatch(["--gres=gpu:h100:4"], "cuda", 4) == {"gres": "gpu:h100:4"}
    assert who._sbatch(["time=1"], "cpu", 1) == {"time": "1"}


# ---- fetching -------------------------------------------------------------------------------------------------


def kept(root, id, done):
    place = checkpoints.folder(root, id) / f"{done:012d}"
    place.mkdir(parents=True)
    (place / "progress.json").write_text(str(done))


def test_records_and_checkpoints_come_back_whole_and_once(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    found = fixture.write(there, fixture.config())
    for done in (8, 16, 24):
        kept(there, found.id, done)
        fetching.unpack(fetching.checkpoint(there, found.id), here)
    place = checkpoints.folder(here, found.id)
    assert sorted(path.name for path in place.iterdir()) == [f"{16:012d}", f"{24:012d}"], "the last two"
    but = f"{checkpoints.FOLDER}/{found.id}/{24:012d}"
    assert fetching.checkpoint(there, found.id, but) == {}
    (found.path / "extra.txt").write_text("stays there")
    fetching.unpack(fetching.record(there, found.id), here)
    assert records.read(here / found.id).result == found.result
    assert not (here / found.id / "extra.txt").exists()
    assert not place.exists(), "what is recorded keeps no checkpoint"
    assert fetching.record(here, "nothing") == {}


def test_nothing_else_is_taken_in(tmp_path):
    found = fixture.write(tmp_path / "there", fixture.config())
    parcel = fetching.record(tmp_path / "there", found.id)
    inner = {name.rpartition("/")[2]: content for name, content in parcel.items()}
    for folder in ("..", "../x", f"{found.id}/deep", f"{checkpoints.FOLDER}/../1", ".again", "/etc"):
        with pytest.raises(UserError, match="no record and no checkpoint"):
            fetching.unpack({f"{folder}/{name}": content for name, content in inner.items()}, tmp_path / "here")
    with pytest.raises(UserError, match="no record and no checkpoint"):
        fetching.unpack({f"{found.id}/run.sh": b""}, tmp_path / "here")
    with pytest.raises(UserError, match=f"the record of {found.id} as that of other"):
        fetching.unpack({f"other/{name}": content for name, content in inner.items()}, tmp_path / "here")
    damaged = {name: content for name, content in parcel.items() if not name.endswith("layers.json")}
    with pytest.raises(UserError, match="cannot be read"):
        fetching.unpack(damaged, tmp_path / "here")
    assert not any(path.name != checkpoints.FOLDER for path in (tmp_path / "here").iterdir())
