"""Starting from a file of weights: what a run begins with is what is in the file, and only what fits begins."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sparsebench import records, states, tensors, tickets
from sparsebench.config import Recipe, RunConfig
from sparsebench.errors import UserError
from sparsebench.methods.dense import dense
from sparsebench.models import initial_weights
from sparsebench.plugins import load
from sparsebench.prepare import prepare
from tasks import bits, conv, gated, task, trainer_on

pytest_plugins = ("command_line",)

LENET = "lenet-300-100"
BRIEF = ("--recipe.steps", "1", "--recipe.learning-rate", "1e-20", "--recipe.evaluations", "1", "--no-mlflow")


def asked(method="static", weights=None, **settings):
    recipe = Recipe(steps=4, batch_size=4)
    fixed = {"model": LENET, "dataset": "dots", "backend": "toy", "sparsity": 0.5, "recipe": recipe}
    return RunConfig(method=method, weights=weights, **(fixed | settings))


@pytest.fixture
def file(folder):
    """(path, digest) of weights of LeNet on the toy data set, from a seed that no test uses."""
    job = prepare(asked()).task
    path = folder / "start.safetensors"
    states.write(path, initial_weights(job.model, job.input, 77))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def train(command, *arguments):
    """The record of the one run."""
    code, out, err = command("train", *arguments)
    assert (code, err) == (0, []), err
    return records.read(Path(out[-1].split()[1]))


# ---- what a run starts from -----------------------------------------------------------------------------------


def test_a_run_goes_on_from_its_own_record_in_either_backend(backend, command):
    first = train(command, "--method", "dense", "--backend", "torch", "--recipe.steps", "40", "--no-mlflow")
    given = first.path / "weights.safetensors"
    again = train(command, "--method", "dense", "--backend", backend.name, "--seed", "5", "--weights", given, *BRIEF)
    assert again.result["accuracy"] == pytest.approx(first.result["accuracy"], abs=1e-9)
    assert bits(again.weights()) == bits(first.weights())
    assert again.config.weights == hashlib.sha256(given.read_bytes()).hexdigest()
    assert again.environment["weights"] == "weights.safetensors"
    assert "weights" not in first.environment


@pytest.mark.parametrize("model", [gated, conv], ids=lambda model: model.name)
def test_running_statistics_come_along(backend, model, tmp_path):
    trainer, job = trainer_on(backend.name), task(model)
    state = trainer.init(job, initial_weights(model, job.input, 0), {})
    state, _ = trainer.train(state, dense, job.feed(0), 0, 4)
    states.write(tmp_path / "w.safetensors", trainer.weights(state))
    given = states.given(tmp_path / "w.safetensors")
    states.check_start(given, model, job.input)
    assert bits(trainer.weights(trainer.init(job, given.arrays, {}))) == bits(trainer.weights(state))
    assert any("running" in name for name in given.arrays) == (model is conv)


def test_methods_that_look_at_weights_look_at_these(file):
    path, digest = file
    lottery = prepare(asked("pruning", digest, updates={"delta_t": 1}), weights=path)
    assert bits(tickets.fresh(lottery).weights) == bits(states.read(path))
    assert bits(tickets.fresh(prepare(asked())).weights) != bits(states.read(path))


def test_saliency_is_that_of_the_weights(command, tmp_path):
    drawn = initial_weights(load("models", LENET), prepare(asked(dataset="digits", backend="torch")).task.input, 0)
    drawn["fc1.weight"][:150] *= 1e-6
    states.write(tmp_path / "w.safetensors", drawn)
    snip = ("--method", "snip", "--sparsity", "0.5", *BRIEF)
    masks = train(command, *snip, "--weights", tmp_path / "w.safetensors").masks()["fc1"]
    assert masks[150:].mean() > 0.9 > 0.7 > train(command, *snip).masks()["fc1"][150:].mean()


def test_timms_checkpoint_starts_timms_model(command, tmp_path):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    theirs = timm.create_model("test_resnet", num_classes=10, in_chans=1).state_dict()
    assert any(name.endswith(states.COUNTER) for name in theirs)
    save_file(theirs, tmp_path / "theirs.safetensors")
    record = train(command, "--model", "timm/test_resnet", "--method", "dense", "--weights",
                   tmp_path / "theirs.safetensors", *BRIEF)  # fmt: skip
    found = record.weights()
    same = {name for name in found if np.allclose(found[name], theirs[name].numpy(), rtol=0, atol=1e-15)}
    assert found.keys() - same == {name for name in found if "running" in name}, "which have moved by a batch"


# ---- its name -------------------------------------------------------------------------------------------------


def test_the_name_follows_what_is_in_the_file(file):
    path, digest = file
    found = prepare(asked(weights=digest), weights=path)
    shutil.move(path, path.with_name("moved.safetensors"))
    assert prepare(asked(weights=digest), weights=path.with_name("moved.safetensors")).id == found.id
    assert prepare(asked(), weights=path).id == prepare(asked()).id != found.id


def test_a_suite_starts_from_them_and_is_told_apart(command, file):
    assert command("run", "toys.toml", "--no-mlflow")[0] == 0
    code, out, err = command("run", "toys.toml", "--weights", file[0], "--workers", "1", "--no-mlflow")
    assert (code, err, out[0]) == (0, [], "4 of 4 runs to do, 1 at a time")
    found = records.read_all(Path("runs"))
    assert [record.config.weights for record in found].count(file[1]) == 4 == len(found) / 2
    rows = json.loads("\n".join(command("leaderboard", "--format", "json")[1]))
    assert [row["settings"] for row in rows].count({"weights": file[1][:12]}) == 2


# ---- what is refused ------------------------------------------------------------------------------------------

TRAIN = ("train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4")
REFUSED = {
    "rounds": (
        ["--method", "lottery"],
        "'lottery' from a ticket starts from the ticket's weights: leave --weights out",
    ),
    "another width": (["--method", "small-dense"], "trains a narrower network, which no weights fit"),
    "another model": (
        ["--model", "wrn-22-2", "--backend", "torch"],
        "block1.0.bn2.bias and 59 more and also has fc1.bias, fc1.weight, fc2.bias and 3 more; choose the model",
    ),
    "other images": (["--dataset", "digits"], "fc1.weight has shape (300, 4) in the file and (300, 64) in the model"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(command, file, arguments, told):
    kept = [each for pair in zip(TRAIN[1::2], TRAIN[2::2], strict=True) if pair[0] not in arguments for each in pair]
    code, out, err = command("train", *kept, *arguments, "--weights", file[0])
    assert (code, out, len(err)) == (2, [], 1), err
    assert told in err[0]
    assert not Path("runs").exists()


def test_a_ticket_brings_its_weights(command, file):
    train(command, *TRAIN[1:], "--method", "dense", "--sparsity", "0", "--recipe.steps", "4", "--no-mlflow")
    (source,) = Path("runs").iterdir()
    arguments = (*TRAIN, "--method", "static", "--ticket.source", source.name)
    code, _, err = command(*arguments, "--weights", file[0])
    assert (code, len(err)) == (2, 1)
    assert "starts from the ticket's weights: leave --weights out" in err[0]


def test_a_ticket_of_a_run_from_weights_needs_them_kept(command, file):
    began = train(command, *TRAIN[1:], "--method", "dense", "--recipe.steps", "4", "--weights", file[0], "--no-mlflow")
    arguments = (*TRAIN, "--method", "static", "--recipe.steps", "4", "--ticket.source", began.id, "--no-mlflow")
    code, _, err = command(*arguments)
    assert (code, len(err)) == (2, 1)
    assert "from weights that its record does not hold: keep those of a step with --rewind" in err[0]
    assert command(*arguments, "--ticket.weights", "redrawn")[0] == 0


def test_weights_must_be_there_and_the_ones_asked_for(file):
    path, digest = file
    with pytest.raises(UserError, match=rf"weights of SHA-256 {digest[:12]}…: give their file with --weights"):
        prepare(asked(weights=digest))
    with pytest.raises(UserError, match=rf"has SHA-256 {digest[:12]}…, and the run starts from aaaaaaaaaaaa…"):
        prepare(asked(weights="a" * 64), weights=path)


BAD = {
    "missing": (None, "cannot read weights from "),
    "no safetensors": (b"PK" * 40, "a safetensors file is needed"),
    "whole numbers": ({"fc1.bias": np.zeros(3, np.int64)}, "'fc1.bias' in int64: floating-point arrays are needed"),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD)
def test_what_is_no_file_of_weights_is_refused(command, tmp_path, content, told):
    path = tmp_path / "bad.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        tensors.write(path, content, {})
    code, out, err = command(*TRAIN, "--weights", path)
    assert (code, out, len(err)) == (2, [], 1), err
    assert told in err[0]
