"""JAX on two devices, of one process and of two: what they train is what one trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import replica_records
import small_folder
from ports import closed_port
from replica_records import EQUAL, JOBS, METHODS, MIDDLE, MODELS, SPARSITY, job_of, under, update
from sparsebench import plugins
from sparsebench.errors import UserError
from sparsebench.launch import Launch
from sparsebench.methods.static import static
from tasks import conv, gated, task, trainer_on

pytest.importorskip("jax")
from sparsebench_jax import joining, placement
from sparsebench_jax.trainer import JaxTrainer

pytestmark = pytest.mark.slow
WAYS = {"two devices": 1, "two processes": 2}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """(what one device makes, its snapshots, where they are)."""
    trainer, root = trainer_on("jax"), tmp_path_factory.mktemp("single")
    snapshots = replica_records.middles(trainer)
    np.savez(root / "snapshots.npz", **snapshots)
    found = replica_records.all_of(trainer, snapshots, small_folder.write(root / "images"), JOBS[1])
    return found | replica_records.programs(trainer), snapshots, root


@pytest.fixture(scope="module", params=WAYS.values(), ids=list(WAYS))
def several(single, request):
    """What each process of a launch makes, by rank."""
    root, processes, port = single[2], request.param, closed_port() - 1
    out = root / str(processes)
    begun = [begin(out, root / "snapshots.npz", processes, rank, port) for rank in range(processes)]
    try:
        for each in begun:
            _, told = each.communicate(timeout=400)
            assert each.returncode == 0, told
    finally:
        for each in begun:
            each.kill()
            each.communicate()
    return [dict(np.load(f"{out}.{rank}.npz")) for rank in range(processes)]


def begin(out, source, processes, rank, port):
    """A process that is one of so many."""
    said = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in said.items()}
    command = [sys.executable, Path(replica_records.__file__), out, source, "2"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def runs(several, method):
    """Names of the runs that were made with a method."""
    return [f"{model}/{parts}/{method}" for model, parts in JOBS[len(several)]]


# ---- the same run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_of_one_device(single, several, method):
    """Batch statistics, parts, and what SNFS observes included; and those of RigL's updates."""
    for found in several:
        for run in runs(several, method):
            losses = found[f"{run}/losses"]
            assert losses.shape == (replica_records.STEPS,)
            assert np.abs(losses - single[0][f"{run}/losses"]).max() <= 1e-5
            masks, expected = under(found, f"{run}/masks"), under(single[0], f"{run}/masks")
            assert masks.keys() == expected.keys()
            changed = [(masks[layer] != expected[layer]).mean() for layer in masks]
            assert max(changed) <= 0.01, "the last digit of a sum tells near ties apart, and nothing else"


@pytest.mark.parametrize("method", METHODS)
def test_batch_statistics_are_those_of_the_whole_batch(single, several, method):
    """Those of a replica's share are others by far more than this."""
    for found in several:
        for run in (run for run in runs(several, method) if run.startswith("conv")):
            expected = under(single[0], f"{run}/weights")
            statistics = [key for key in expected if "running" in key]
            assert len(statistics) == 4
            for key in statistics:
                assert found[f"{run}/weights/{key}"] == pytest.approx(expected[key], abs=2e-6)


def test_metrics_count_every_sample_once(single, several):
    """1003 samples among them, which nothing divides."""
    for found in several:
        for run in (run for method in METHODS for run in runs(several, method)):
            (accuracy, loss), (expected, other) = found[f"{run}/metrics"].T, single[0][f"{run}/metrics"].T
            assert accuracy.tolist() == expected.tolist()
            assert loss == pytest.approx(other, abs=1e-5)


def test_images_that_are_read_are_shared_too(single, several):
    for found in several:
        assert found["streamed/losses"] == pytest.approx(single[0]["streamed/losses"], abs=1e-5)
        assert found["streamed/metrics"] == pytest.approx(single[0]["streamed/metrics"], abs=1e-5)


@pytest.mark.parametrize("method", EQUAL)
def test_equal_scores_give_the_same_masks_to_the_bit(single, several, method):
    expected, before = under(single[0], f"updated/{method}"), under(single[1], f"equal/{method}/mask")
    assert any((expected[name] != before[name]).any() for name in expected)
    for found in several:
        masks = under(found, f"updated/{method}")
        assert masks.keys() == expected.keys()
        assert all(np.array_equal(masks[name], expected[name]) for name in masks)


def test_the_compiled_selection_of_accelerators_finds_the_same_masks(several):
    for found in several[: len(several) == 1]:
        assert found["on_device/fc"].tolist() == found["on_host/fc"].tolist()
        assert found["on_device/fc"].sum() == 11


# ---- snapshots --------------------------------------------------------------------------------------------------


def test_a_snapshot_is_of_a_run_and_not_of_its_devices(single, several):
    """Restored on other devices it is the same to the bit, and what continues from it is the run."""
    for found in several:
        again, given = under(found, "again"), under(single[1], "middle")
        assert again.keys() == given.keys()
        assert all(np.array_equal(again[name], given[name]) for name in given)
        assert np.abs(found["continued/losses"] - single[0]["continued/losses"]).max() <= 1e-5
    trainer, job = trainer_on("jax"), job_of("conv", 1)
    state = trainer.restore(job, under(several[0], "middle"))
    back = replica_records.run(trainer, "back", job, METHODS["rigl"], state, MIDDLE)
    assert back["back/losses"] == pytest.approx(several[0]["conv/1/rigl/losses"][MIDDLE:], abs=1e-5)


# ---- compiled ---------------------------------------------------------------------------------------------------


def test_nothing_is_compiled_again_whatever_the_segments_and_updates(several):
    assert [found["compiled again"].tolist() for found in several] == [[]] * len(several)


@pytest.mark.parametrize("model", MODELS)
def test_devices_share_the_work_and_tell_each_other_sums_alone(single, several, model):
    """No batch and no weight travels; buffers are used again."""
    for found in several:
        text = str(found[f"programs/{model}/text"])
        assert "all-reduce" in text
        assert not [word for word in ("all-gather", "all-to-all", "collective-permute") if word in text]
        assert found[f"programs/{model}/flops"] < 0.8 * single[0][f"programs/{model}/flops"]
        aliased, donated = found[f"programs/{model}/aliased"]
        assert aliased == donated > 0
        assert found[f"programs/{model}/gone"].all()


# ---- bugs of the field ------------------------------------------------------------------------------------------


def test_growth_from_one_replicas_gradient_is_found(single, several):
    """Between processes by the check; within one, masks are other than those of one device."""
    trainer, job = trainer_on("jax"), job_of("conv", 1)
    state = trainer.restore(job, under(single[1], "equal/set"))
    state, _ = update(trainer, job, state, METHODS["rigl"], replica_records.EVENT, SPARSITY)
    expected = trainer.masks(state)
    for found in several:
        masks = under(found, "planted/growth")
        assert any((masks[name] != expected[name]).any() for name in expected)
        assert ("between replicas: replica 1 has not" in str(found["planted/growth told"])) == (len(several) > 1)


def test_masks_drawn_per_rank_are_found(several):
    (told,) = {str(found["planted/drawn told"]) for found in several}
    assert told.startswith("masks of layer 'conv1' differ") == (len(several) > 1)


def test_devices_of_one_process_that_differ_are_found(several):
    for found in several[: len(several) == 1]:
        assert str(found["planted/apart told"]).startswith("'conv1.weight' differs between replicas: ")


# ---- processes --------------------------------------------------------------------------------------------------


def test_processes_agree(several):
    own = range(len(several))
    for rank, found in enumerate(several[: 2 * (len(several) > 1)]):
        assert found["group/is"].tolist() == [rank, len(several)]
        sizes = (0, 1, 64, 65, 200)
        assert found["group/gathered"].tolist() == [[(bytes([r]) * n * (r + 1)).hex() for r in own] for n in sizes]
        assert found["group/shared"].tolist() == [(b"\7" * n).hex() for n in sizes]
        assert found["group/wanted"].tolist() == [True, False]


# ---- refused ----------------------------------------------------------------------------------------------------


def test_devices_that_are_not_there_are_refused():
    spread = plugins.load("backends", "jax").spread
    assert spread
    assert spread.alone
    trainer_on("jax").evaluate(replica_records.begin(trainer_on("jax"), task(gated), static, 0.0), "test")
    with pytest.raises(UserError, match=r"^4096 devices 'cpu' .* jax has \d+, .*: use a process of its own, or set "):
        spread.join("cpu", Launch(devices=4096))
    with pytest.raises(UserError, match="jax sees none"):
        spread.join("rocm", Launch(devices=2))


@pytest.mark.parametrize(("rank", "fault"), [(0, "Address already in use"), (1, "Connection refused")])
def test_processes_that_cannot_meet_are_told_so(monkeypatch, rank, fault):
    monkeypatch.setattr(joining, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = closed_port() if rank else taken.getsockname()[1]
        launch = Launch(2, rank, processes=2, local=rank, address=f"127.0.0.1:{port - 1}")
        with pytest.raises(UserError, match=rf"^process {rank} of 2 cannot meet the others at .*:{port}: .*{fault}.*;"):
            joining.join("cpu", launch)


def test_processes_that_have_used_jax_alone_cannot_meet():
    trainer_on("jax").evaluate(replica_records.begin(trainer_on("jax"), task(gated), static, 0.0), "test")
    with pytest.raises(UserError, match="each in a new process"):
        joining.join("cpu", Launch(2, rank=0, processes=2, address=f"127.0.0.1:{closed_port() - 1}"))


def test_a_batch_without_equal_shares_is_refused():
    trainer = JaxTrainer(place=lambda device: placement.mesh(placement.found(device)[:1]))
    assert trainer.supports(task(conv), static) is None
    three = placement.Placement(trainer.place.devices * 3, trainer.place.whole, trainer.place.along)
    trainer.place = three
    told = [trainer.supports(task(conv, accumulation=parts), static) or "" for parts in (1, 2)]
    assert told[0].startswith("a batch of 8 samples cannot be shared equally by 3 devices: ")
    assert told[1].startswith("a batch of 4 samples cannot be shared")
    assert [three.padded(size) for size in (1, 3, 1000)] == [3, 3, 1002]


@pytest.mark.parametrize(
    ("chosen", "local", "each", "devices"),
    [(None, 1, 1, [1]), ("0,1", 1, 1, [1]), ("3", 1, 1, None), (None, 1, 2, [2, 3]), ("0,1", 1, 2, None)],
)
def test_each_process_sees_its_own_gpus(monkeypatch, chosen, local, each, devices):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert joining._visible(local, each) == devices
