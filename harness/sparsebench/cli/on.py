"""`--on`, `--slots`, `--slurm`: who trains a suite's runs."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter, validators

from sparsebench.cli.options import whole
from sparsebench.errors import UserError
from sparsebench.executors import Executor, pool
from sparsebench.launch import launched

MANY = 64
"""Jobs in Slurm's queue at a time."""
OURS = (
    "array", "chdir", "clusters", "error", "help", "input", "nodes", "ntasks", "ntasks-per-core", "ntasks-per-gpu",
    "ntasks-per-node", "ntasks-per-socket", "open-mode", "output", "parsable", "quiet", "tasks-per-node", "test-only",
    "usage", "version", "wait", "wrap",
)  # fmt: skip
"""Options of sbatch that give a run another shape than one task, hide its files, or change what sbatch answers."""

On = Annotated[
    str,
    Parameter(help="who trains: local, slurm, ray (RAY_ADDRESS, or a cluster that runs here) or ray://HOST:PORT"),
]
Slots = Annotated[
    int | None,
    Parameter(
        name=("--slots", "--workers"),
        help="runs at a time; default: as many as there are cores or GPUs for, in Slurm's queue 64",
        validator=validators.Number(gte=1),
        converter=whole,
    ),
]
SlurmOptions = Annotated[
    tuple[str, ...],
    Parameter(
        name="--slurm", negative=(), show_default=False,
        help="KEY=VALUE, an option of sbatch: time=24:00:00, partition=gpu, gres=gpu:8, cpus-per-task=16, mem=200G",
    ),
]  # fmt: skip


def check(on: str, slurm: Sequence[str]) -> None:
    """Refuse what nobody can be.

    Raises:
        UserError: it is no executor, or processes were launched, or options of sbatch are none or are for others.
    """
    if on not in ("local", "slurm", "ray") and not re.fullmatch(r"ray://[^/\s]+:\d+", on):
        raise UserError(f"--on {on}: allowed: local, slurm, ray, ray://HOST:PORT")
    if on != "local" and launched():
        raise UserError(f"--on {on} starts processes itself: leave torchrun or srun out")
    if slurm and on != "slurm":
        raise UserError("--slurm is for --on slurm: give both, or leave --slurm out")
    if on == "slurm" and "time" not in _options(slurm):
        raise UserError("--on slurm: say how long a job may take: --slurm time=HH:MM:SS, at least the longest segment")


def at_a_time(on: str, slots: int | None, device: str, devices: int) -> int:
    """How many runs at a time, as far as that is known without asking a cluster."""
    return slots or (pool.default_slots(device, devices) if on == "local" else MANY)


@contextmanager
def executor(
    on: str, slots: int | None, device: str, devices: int, slurm: Sequence[str]
) -> Generator[Executor]:  # fmt: skip
    """Whoever is to train; a cluster that is started or connected to for that is left afterwards.

    Raises:
        UserError: it is not installed, or not there.
    """
    if on == "local":
        yield pool.Pool(at_a_time(on, slots, device, devices), device, devices)
    elif on == "slurm":
        from sparsebench.executors.slurm import Slurm

        found = Slurm(at_a_time(on, slots, device, devices), _sbatch(slurm, device, devices))
        found.check()
        yield found
    else:
        from sparsebench.executors import ray

        with ray.connected(None if on == "ray" else on) as resources:
            yield ray.sized(resources, slots, device, devices)


def _options(slurm: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in slurm:
        key, sign, value = each.partition("=")
        if not (sign and value and re.fullmatch(r"(--)?[a-z][a-z-]*", key)):
            raise UserError(f"--slurm {each}: give KEY=VALUE, an option of sbatch, such as partition=gpu")
        key = key.removeprefix("--")
        if any(name.startswith(key) for name in OURS):  # sbatch takes what is short for them, too
            raise UserError(
                f"--slurm {each}: each run is one job of one task on one node, whose files are the command's own; "
                f"allowed: what a job may use, such as partition, gres and mem: leave {key} out"
            )
        if key == "signal" and not re.fullmatch(r"(R:)?(SIG)?USR2@\d+", value):
            raise UserError(f"--slurm {each}: runs know one warning: give signal=USR2@SECONDS, or leave it out")
        found[key] = value
    return found


def _sbatch(slurm: Sequence[str], device: str, devices: int) -> dict[str, str]:
    """Options of sbatch: the GPUs of a run, unless they are asked for in another way."""
    given = _options(slurm)
    asked = any(key.startswith(("gpus", "gres")) for key in given)
    return given if device == "cpu" or asked else {"gpus-per-node": str(devices)} | given
