"""One run on two devices is the run on one: two gloo processes, started once, against this one (decision 13)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import two_replicas as pair
from sparsebench import checkpoints, records, runner, tensors
from sparsebench_torch import replicas
from sparsebench_torch.replicas import foreign
from tasks import one_thread, trainer_on

HERE = Path(__file__).parent


class Cut(BaseException):
    """The process dies, as far as a test in the same one can have it."""


def cut(done, steps):
    if done >= 30:
        raise Cut


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the two leave; what they continue from lies there before they begin, the second one's being older."""
    folder = tmp_path_factory.mktemp("pair")
    for method, model in pair.SNAPSHOTS:
        _, snapshot = pair.trained(trainer_on("torch"), method, model, stop=pair.HALF)
        tensors.write(folder / f"one-{method}.safetensors", snapshot, {})
    with pytest.raises(Cut):
        runner.run(pair.run_of(), folder / "root-0" / "one", progress=cut, keep=runner.Keep(0))
    place = checkpoints.folder(folder / "root-0" / "one", pair.run_of().id)
    older = checkpoints.folder(folder / "root-1" / "one", pair.run_of().id)
    older.mkdir(parents=True)
    shutil.copytree(min(place.iterdir()), older / min(place.iterdir()).name)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = subprocess.run(
        [sys.executable, *launcher, HERE / "two_replicas.py", folder], env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    assert "Warning" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def told(folder):
    """What each was told."""
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in (0, 1)]


def both(folder, case):
    """What the two have, equal to the bit."""
    first, second = (tensors.read(folder / f"{case}-{rank}.safetensors")[0] for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    return first


def assert_the_run_on_one(found, alone):
    """Masks are equal, losses within 1e-5, and so are weights and metrics."""
    assert found.keys() == alone.keys()
    moved = {name: mask.tobytes() for name, mask in alone.items() if mask.dtype == bool}
    assert {name: found[name].tobytes() for name in moved} == moved
    assert len({name[3:] for name in moved}) < len(set(moved.values())), "masks move"
    for name in alone.keys() - moved.keys():
        assert found[name] == pytest.approx(alone[name], abs=1e-5, nan_ok=True)


# ---- the run on one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "model", "parts"), pair.RUNS, ids=lambda given: str(given))
def test_two_devices_are_one(folder, method, model, parts):
    """`scripted` nets have the same gradients on any number of devices, so equal masks are the selection's doing."""
    one_thread()
    alone, _ = pair.trained(trainer_on("torch"), method, model, parts)
    assert_the_run_on_one(both(folder, f"{method}-{model}-{parts}"), alone)


@pytest.mark.parametrize(("method", "model"), pair.SNAPSHOTS, ids=lambda given: str(given))
def test_snapshots_are_of_a_run_and_not_of_its_devices(folder, method, model):
    one_thread()
    alone, _ = pair.trained(trainer_on("torch"), method, model)
    rest = {name: each for name, each in alone.items() if not name[:2].isdigit() or int(name[:2]) >= pair.HALF}
    rest["losses"] = alone["losses"][pair.HALF :]
    assert_the_run_on_one(both(folder, f"went-on-{method}"), rest)
    begun = both(folder, f"two-{method}")
    assert_the_run_on_one(pair.trained(trainer_on("torch"), method, model, snapshot=begun, start=pair.HALF)[0], rest)


@pytest.mark.parametrize("name", pair.NORMS)
def test_batch_normalisation_is_that_of_the_whole_batch(folder, name):
    """torch's own, in float64: forward, gradients, and running statistics, whose variance is unbiased."""
    whole = pair.normalised(name)
    halves = [tensors.read(folder / f"norm-{name}-{rank}.safetensors")[0] for rank in (0, 1)]
    for path, expected in whole.items():
        first, second = (half[path] for half in halves)
        if path.startswith("same/"):
            assert first.tobytes() == second.tobytes()
            assert first == pytest.approx(expected, rel=1e-12)
        elif path.startswith("sum/"):
            assert first + second == pytest.approx(expected, abs=1e-10)
        else:
            assert np.concatenate([first, second]) == pytest.approx(expected, abs=1e-10)


def test_other_samples_are_dropped_by_other_draws(folder):
    first, second = (tensors.read(folder / f"dropped-{rank}.safetensors")[0]["kept"] for rank in (0, 1))
    assert first.tolist() == pair.dropped()["kept"].tolist()
    assert 16 < (first != second).sum() < 48


def test_a_batch_without_equal_shares_is_refused_and_steps_are_eager(told):
    assert [each["unequal"].partition(":")[0] for each in told] == [
        "a batch of 7 samples cannot be shared equally by 2 devices"
    ] * 2
    assert [each["ran"] for each in told] == ["eager, since replicas share every batch"] * 2


def test_statistics_that_nobody_shares_are_refused():
    known = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3))
    assert foreign(known) is None
    own = nn.Sequential(known, nn.InstanceNorm2d(3, track_running_stats=True))
    assert foreign(own).startswith("'1' (InstanceNorm2d) keeps 'running_mean' of what it sees")


def test_a_parameter_that_the_loss_does_not_reach_is_known():
    """DistributedDataParallel must not wait for its gradient; looking leaves the module as it was."""
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    images = torch.zeros(1, 3, 2, 2)
    assert replicas._reached(net, images)
    net[0].register_parameter("unused", nn.Parameter(torch.zeros(2)))
    assert not replicas._reached(net, images)
    assert net.training
    assert net[0].num_batches_tracked == 0
    assert all(parameter.grad is None for parameter in net.parameters())


# ---- records and checkpoints --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The record of the run on one device."""
    return records.read(runner.run(pair.run_of(), tmp_path_factory.mktemp("alone")))


def assert_same_record(path, alone):
    found = records.read(Path(path))
    assert {name: mask.tobytes() for name, mask in found.masks().items()} == {
        name: mask.tobytes() for name, mask in alone.masks().items()
    }
    assert found.result["accuracy"] == alone.result["accuracy"]
    losses = [[each["loss"] for each in record.events() if each["kind"] != "evaluate"] for record in (found, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert found.config == alone.config
    return found.environment


def test_a_run_on_two_devices_has_the_record_of_one(told, alone):
    environment = assert_same_record(told[0]["straight"], alone)
    assert (environment["devices"], alone.environment["devices"]) == (2, 1)


def test_only_the_first_one_writes_and_reads(folder, told, alone):
    """The second one's checkpoint is an older one of the same run: nobody looks at it."""
    assert [each["continued"] for each in told] == [told[0]["continued"]] * 2
    begun = assert_same_record(told[0]["continued"], alone)["resumed"]
    (older,) = (folder / "root-1" / "one" / ".checkpoints" / pair.run_of().id).iterdir()
    assert int(older.name) < begun[0]
    assert [path.name for path in (folder / "root-1").iterdir()] == ["one"]
    assert [path.name for path in (folder / "root-1" / "one").iterdir()] == [".checkpoints"]


def test_one_that_is_asked_to_end_ends_all_and_one_device_goes_on(folder, told, alone):
    assert [each["cut"] for each in told] == ["15", "15"]
    place = folder / "root-0" / "cut"
    assert len(list((place / ".checkpoints" / pair.run_of().id).iterdir())) == 1
    environment = assert_same_record(runner.run(pair.run_of(), place), alone)
    assert environment["devices"] == 1
    assert len(environment["resumed"]) == 1


def test_what_the_first_one_cannot_write_stops_all(told):
    """A record, that is; without a checkpoint a run goes on, and the first replica says so."""
    assert [each["full"] for each in told] == ["no room"] * 2
    assert [each["without checkpoints"] for each in told] == [["no room"], []]


@pytest.mark.parametrize(
    ("how", "what"), [("mask", "masks of layer 'fc1'"), ("momentum", "state of layer 'momentum/fc1.weight'")]
)
def test_replicas_that_drift_apart_are_stopped_at_the_next_checkpoint(folder, told, alone, how, what):
    """Both are told what, and which of them; the checkpoint before is sound."""
    first, second = (each[f"drifted {how}"] for each in told)
    assert first == second
    assert first.startswith(f"{what} differ between replicas: replica 1 has not what the others have")
    place = folder / "root-0" / how
    kept = sorted(int(path.name) for path in (place / ".checkpoints" / pair.run_of().id).iterdir())
    assert kept[-1] <= 35
    environment = assert_same_record(runner.run(pair.run_of(), place), alone)
    assert environment["resumed"] == [kept[-1]]


def test_replicas_of_two_runs_are_refused(told):
    assert [each["other"].partition("(")[2].partition(")")[0] for each in told] == ["differing: config.seed, id"] * 2


# ---- commands that a launcher starts ------------------------------------------------------------------------------


def test_a_suite_is_trained_together_and_the_first_one_tells(folder, told):
    (code, out, errors), (other, silence, more) = (each["suite"] for each in told)
    assert (code, other, errors, silence, more) == (0, 0, [], [], [])
    assert out[0] == "2 of 2 runs to do, each on 2 devices"
    assert "set 0.9 torch: 1 of 1 seeds" in " ".join(out)
    assert len(list(records.paths(folder / "suite"))) == 2
    (code, out, _), (other, silence, _) = (each["suite again"] for each in told)
    assert (code, other, silence) == (0, 0, [])
    assert out[0] == "0 of 2 runs to do, each on 2 devices"


def test_one_run_is_trained_together(folder, told):
    (code, out, _), (other, *silence) = (each["train"] for each in told)
    assert (code, other, silence) == (0, 0, [[], []])
    (made,) = records.paths(folder / "train")
    assert out[-1].endswith(made.name)


def test_other_devices_than_were_started_are_refused(told):
    (code, _, errors), (other, _, more) = (each["mistake"] for each in told)
    line = "--devices 3, and 2 processes were started: leave --devices out"
    assert (code, other) == (2, 2)
    assert (errors, more) == ([f"error: {line}"], [f"error: replica 1: {line}"])


# ---- the field's bugs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bug", "what"), [("gradient", "masks"), ("drawn", "masks"), ("older", "masks")], ids=lambda given: given
)
def test_a_bug_of_the_field_is_found_and_named(told, bug, what):
    """Growth from one replica's gradient, masks drawn per rank, a rank that goes on from an older checkpoint."""
    first, second = (each[f"bug {bug}"] for each in told)
    assert first == second
    assert first.startswith(f"{what} of layer 'conv")
    assert "differ between replicas: replica 1 has not what the others have" in first
    assert [each["bug none"] for each in told] == ["", ""]
