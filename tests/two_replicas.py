"""What each of two replicas does for `test_replicated.py`: everything that needs a pair, in one pair, started once.

`torchrun … two_replicas.py FOLDER`: each writes the arrays of every case to `FOLDER/CASE-RANK.safetensors`, and what it
was told to `FOLDER/told-RANK.json`. The test does on one device what can be done there.
"""

import json
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

import tasks
from sparsebench import checkpoints, records, runner, tensors
from sparsebench.cli import main
from sparsebench.cli.signals import Ended, as_exceptions
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.launch import launched
from sparsebench.methods.granet import granet_global
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench.prepare import prepare
from sparsebench.replicas import check
from sparsebench.together import joined
from sparsebench_models.parts_torch import Dropout
from sparsebench_torch import backend
from sparsebench_torch.normalisation import normalised_together
from sparsebench_torch.trainer import TorchTrainer

STEPS, HALF, SPARSITY = 20, 11, 0.7
METHODS = {"rigl": rigl, "set": set_, "snfs": snfs, "granet": granet_global}
MODELS = {"gated": tasks.gated, "conv": tasks.conv, "scripted": tasks.scripted}
RUNS = [
    *((method, model, parts) for method in ("rigl", "set", "snfs") for model in ("gated", "conv") for parts in (1, 2)),
    *((method, "scripted", 1) for method in METHODS),
]
SNAPSHOTS = [(method, "conv") for method in ("rigl", "set", "snfs")]


def job(model, parts=1):
    return tasks.task(MODELS[model], STEPS, accumulation=parts, weight_decay=1e-2, label_smoothing=0.1)


def named(method):
    return tasks.short(METHODS[method], alpha=0.6)


def trained(trainer, method, model, parts=1, snapshot=None, start=0, stop=STEPS):
    """Masks after every iteration, losses, metrics and the last weights; and the last snapshot."""
    work, losses, found, state = job(model, parts), [], {}, None
    state = trainer.restore(work, snapshot) if snapshot else tasks.begin(trainer, work, named(method), SPARSITY)
    for i, (_, loss, after) in enumerate(tasks.walk(trainer, work, named(method), SPARSITY, 0, state, start), start):
        losses.append(loss)
        found |= {f"{i:02}/{name}": mask for name, mask in trainer.masks(after).items()}
        state = after
        if i + 1 == stop:
            break
    metrics = trainer.evaluate(state, "test")
    found |= {"losses": np.array(losses, float), "metrics": np.array([metrics.accuracy, metrics.loss])}
    return found | {f"weights/{name}": each for name, each in trainer.weights(state).items()}, trainer.snapshot(state)


# ---- batch normalisation ------------------------------------------------------------------------------------------

NORMS = {
    "one": lambda: nn.BatchNorm1d(5),
    "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
    "bare": lambda: nn.BatchNorm2d(3, affine=False, track_running_stats=False),
    "shifted": lambda: nn.BatchNorm2d(3, eps=0.1, momentum=0.3),
}


def normalised(name, rank=None):
    """Output, gradients and statistics of two steps in float64, over all of the batch or a replica's half."""
    shape = (8, 5) if name == "one" else (8, 3, 4, 2)
    norm, found = NORMS[name]().double(), {}
    if rank is not None:
        normalised_together(norm, 2)
    for step in range(2):
        drawn = (torch.from_numpy(tasks.drawn(f"{name} {what} {step}", shape)).double() for what in ("x", "slope"))
        images, slope = (each if rank is None else each.chunk(2)[rank] for each in drawn)
        images = (3 * images + 40).requires_grad_()
        output = norm(images)
        (output * slope).sum().backward()
        found |= {f"{step}/output": output, f"{step}/gradient": images.grad}
    found |= {f"sum/{path}": parameter.grad for path, parameter in norm.named_parameters()}
    found |= {f"same/{path}": tensor for path, tensor in norm.state_dict().items()}
    return {path: tensor.detach().numpy() for path, tensor in found.items()}


def dropped():
    """What a module of ours zeroes: other samples, other draws."""
    return {"kept": Dropout(0.5, "drop").train()(torch.ones(64)).numpy()}


# ---- whole runs -------------------------------------------------------------------------------------------------


def run_of(seed=0):
    """RigL on LeNet-300-100 and the digits, with updates that step in for a step."""
    settings = {"model": "lenet-300-100", "dataset": "digits", "method": "rigl", "sparsity": 0.9, "backend": "torch"}
    recipe = Recipe(steps=60, batch_size=32, evaluations=3)
    return prepare(RunConfig(**settings, seed=seed, recipe=recipe, updates=Updates(delta_t=7)))


def cut(done, steps):
    """Somebody asks the first replica to end; the others hear it from there."""
    if done >= 30:
        signal.raise_signal(signal.SIGTERM)


def run(root, launch, prepared, progress=lambda done, steps: None, **keep):
    """The record's folder, or how it ended."""
    try:
        with as_exceptions():
            return str(runner.run(prepared, root, "cpu", progress, runner.Keep(**keep), launch))
    except (UserError, Ended) as error:
        return str(error)


def full(root, *content):
    raise UserError("no room")


def drifting(how, rank):
    """`TorchTrainer.update` after whose fifth update the second replica is no longer like the first."""

    def update(self, state, method, event, *others):
        state, report = sound(self, state, method, event, *others)
        if rank == 1 and event.iteration == 35:
            weight = state.module.get_parameter("fc1.weight")
            changed = {
                "mask": lambda: state.masks["fc1"].view(-1)[7].logical_not_(),
                "momentum": lambda: state.optimizer.state[weight]["momentum_buffer"].view(-1)[7].add_(1),
            }
            changed[how]()
        return state, report

    sound = TorchTrainer.update
    return update


def drifted(root, launch, rank, how):
    """How a run ends whose replicas drift apart."""
    sound = TorchTrainer.update
    TorchTrainer.update = drifting(how, rank)
    try:
        return run(root / how, launch, run_of(), every=0)
    finally:
        TorchTrainer.update = sound


def runs(folder, launch, rank):
    """Every replica has a folder of records of its own: only the first one's may be used."""
    root = folder / f"root-{rank}"
    write = checkpoints.write, records.write
    told = {
        "straight": run(root / "straight", launch, run_of()),
        "cut": run(root / "cut", launch, run_of(), cut),
        "continued": run(root / "one", launch, run_of()),
        "other": run(root / "other", launch, run_of(seed=rank)),
    }
    said = []
    checkpoints.write, records.write = full, full
    told["full"] = run(root / "full", launch, run_of(), every=0, tell=said.append)
    checkpoints.write, records.write = write
    told |= {f"drifted {how}": drifted(root, launch, rank, how) for how in ("mask", "momentum")}
    return told | {"without checkpoints": sorted(set(said))}


SUITE = """
title = "two devices"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
batch_size = 32
steps = 20
[updates]
delta_t = 7
[grid]
methods = ["dense", "set"]
sparsities = [0.9]
backends = ["torch"]
seeds = 1
"""


def command(*arguments):
    """(exit code, output, errors) of a command line, as a launcher would have started it."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as errors:
        code = main([*map(str, arguments), "--no-mlflow"])
    return code, out.getvalue().splitlines(), errors.getvalue().splitlines()


def commands(folder):
    """The records are those of one folder, as a shared file system has them."""
    (suite := folder / "two.toml").write_text(SUITE)
    run, place = ("run", suite, "--records"), folder / "suite"
    return {
        "suite": command(*run, place),
        "suite again": command(*run, place),
        "train": command("train", "--recipe.steps", 20, "--updates.delta-t", 7, "--records", folder / "train"),
        "mistake": command(*run, place, "--devices", 3),
    }


# ---- the field's bugs -------------------------------------------------------------------------------------------


def refusal(group, trainer, state):
    """What the check of masks has against a state."""
    try:
        check(group, trainer.masks(state), "masks")
        check(group, trainer.weights(state), "weights")
    except UserError as error:
        return str(error)
    return ""


def updated(trainer, group, bug):
    """A state after one update; `gradient`: nobody reduces it; `drawn`: each replica draws for itself."""
    method, work = named("set" if bug == "drawn" else "rigl"), job("conv")
    state, event = tasks.begin(trainer, work, method, SPARSITY), method.events(STEPS)[0]
    if bug == "gradient":
        state.parallel = None
    seed = group.rank if bug == "drawn" else 0
    return tasks.update(trainer, work, state, method, event, SPARSITY, seed)[0]


def bugs(trainer, group, snapshots):
    older = trainer.restore(job("conv"), snapshots[group.rank])
    states = {bug: updated(trainer, group, bug) for bug in ("none", "gradient", "drawn")} | {"older": older}
    return {f"bug {bug}": refusal(group, trainer, state) for bug, state in states.items()}


def replicate(folder):
    torch.set_num_threads(1)
    launch = launched()
    trainer, group = joined(backend, "cpu", launch)

    def write(case, arrays):
        tensors.write(folder / f"{case}-{group.rank}.safetensors", arrays, {})

    for method, model, parts in RUNS:
        write(f"{method}-{model}-{parts}", trained(trainer, method, model, parts)[0])
    for method, model in SNAPSHOTS:
        write(f"two-{method}", trained(trainer, method, model, stop=HALF)[1])
        begun = tensors.read(folder / f"one-{method}.safetensors")[0]
        write(f"went-on-{method}", trained(trainer, method, model, snapshot=begun, start=HALF)[0])
    for name in NORMS:
        write(f"norm-{name}", normalised(name, group.rank))
    write("dropped", dropped())
    snapshots = [trained(trainer, "rigl", "conv", stop=stop)[1] for stop in (HALF, HALF - 4)]
    told = runs(folder, launch, group.rank) | bugs(trainer, group, snapshots)
    told |= commands(folder)
    state = tasks.begin(trainer, job("conv"), rigl, SPARSITY)
    told["unequal"] = trainer.supports(replace(job("conv"), recipe=Recipe(steps=2, batch_size=7)), rigl)
    trainer.train(state, rigl, job("conv").feed(0), 0, 1)
    told["ran"] = state.ran
    (folder / f"told-{group.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    replicate(Path(sys.argv[1]))
    os._exit(0)  # all is written; threads of gloo that still run would sometimes abort the process
