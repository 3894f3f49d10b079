"""How processes were started: which one this is of how many that train every run together. It needs no NumPy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sparsebench.errors import UserError


@dataclass(frozen=True)
class Launch:
    """Which process this is of how many that train every run together, on how many devices in all.

    `address` (host:port) is where the first one is found; empty for a process alone. `local` counts the processes of
    one machine.
    """

    devices: int = 1
    rank: int = 0
    processes: int = 1
    local: int = 0
    address: str = ""


ONE = Launch()
"""A process by itself, on one device."""

LAUNCHERS: Mapping[str, Mapping[str, str]] = {
    "torchrun": {"processes": "WORLD_SIZE", "rank": "RANK", "local": "LOCAL_RANK"},
    "srun": {"processes": "SLURM_STEP_NUM_TASKS", "rank": "SLURM_PROCID", "local": "SLURM_LOCALID"},
}
"""Where launchers say it."""


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """What the launcher of this process says in its environment; None: it was started alone.

    Raises:
        UserError: it says only a part of it, or no number.
    """
    for launcher, names in LAUNCHERS.items():
        if _number(launcher, environ, names["processes"], "1") > 1:
            found = {field: _number(launcher, environ, name) for field, name in names.items()}
            return Launch(devices=found["processes"], address=_address(launcher, environ), **found)
    return None


def _number(launcher: str, environ: Mapping[str, str], name: str, default: str = "") -> int:
    given = environ.get(name, default)
    if not given.isdecimal():
        raise UserError(f"{launcher} says {name}={given!r} in the environment; it must be a number: start it again")
    return int(given)


def _address(launcher: str, environ: Mapping[str, str]) -> str:
    host, port = environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", "")
    if not host or not port.isdecimal():
        raise UserError(
            f"{launcher} has started several processes, and MASTER_ADDR={host!r}, MASTER_PORT={port!r} do not say "
            "where the first one is: set both, the same for all"
        )
    return f"{host}:{port}"


def speaks(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process tells what there is to tell: another replica does, unless it is the first."""
    try:
        launch = launched(environ)
    except UserError:  # which is to be told
        return True
    return launch is None or launch.rank == 0
