"""The processes that train one run together: each holds the whole network and a share of every batch.

What they must agree on goes through a `Group`: when to keep a checkpoint and whether to end (`anybody`), what a
checkpoint holds (`share`: the first replica reads it for all), and that their masks are still the same (`check`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsebench.errors import UserError

Arrays = Mapping[str, NDArray[Any]]


class ReplicasDifferError(UserError):
    """Replicas hold different masks or weights, so what they train is not one network."""


class Group(Protocol):
    """The processes of a run. Each calls the same methods in the same order; every call waits for all."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0; the first one writes."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def gather(self, content: bytes) -> list[bytes]:
        """What each gave, by rank."""
        ...

    def share(self, content: bytes) -> bytes:
        """What the first one gave; what others give is not looked at."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process, that has nobody to ask."""

    rank: int = 0
    size: int = 1

    def gather(self, content: bytes) -> list[bytes]:
        """Its own."""
        return [content]

    def share(self, content: bytes) -> bytes:
        """Its own."""
        return content


def anybody(group: Group, wants: bool) -> bool:
    """Whether any replica wants it: all get the same answer."""
    return any(group.gather(b"\1" if wants else b"")) if group.size > 1 else wants


def check(group: Group, arrays: Arrays, what: str) -> None:
    """The replicas hold the same arrays to the bit; only digests travel.

    Raises:
        ReplicasDifferError: on every replica; names the first array that differs, and each replica that has another
            one than most (than the first, if none has a majority).
    """
    if group.size == 1:
        return
    ours = b"".join(_digest(array) for array in arrays.values())
    found = group.gather(ours)
    for k, name in enumerate(arrays):
        digests = [each[k * LENGTH : (k + 1) * LENGTH] for each in found]
        if len(set(digests)) > 1:
            raise ReplicasDifferError(
                f"{what} of layer {name!r} differ between replicas: {_told(_odd(digests))} not what the others have; "
                "the run is stopped, its last checkpoint is sound: begin it again"
            )


LENGTH = hashlib.sha256().digest_size


def _digest(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def _odd(digests: Sequence[bytes]) -> list[int]:
    """The ranks that do not have what most have; of equals, the first one is right."""
    usual = max(digests, key=digests.count)
    return [rank for rank, digest in enumerate(digests) if digest != usual]


def _told(ranks: Sequence[int]) -> str:
    numbers = ", ".join(map(str, ranks))
    return f"replica {numbers} has" if len(ranks) == 1 else f"replicas {numbers} have"


# ---- how processes were started -------------------------------------------------------------------------------


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


def share_of(size: int, group: Group) -> slice:
    """This replica's part of a batch of that size; all parts are equal, and in order they are the batch.

    Raises:
        UserError: it has no equal parts.
    """
    if size % group.size:
        raise UserError(
            f"a batch of {size} samples cannot be shared equally by {group.size} devices: give a batch size (of each "
            f"accumulated part) that is a multiple of {group.size}, or other --devices"
        )
    part = size // group.size
    return slice(group.rank * part, (group.rank + 1) * part)
