"""One run on many devices: a mesh of this process's devices, or of those of all processes that a launcher began."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import NDArray

from sparsebench.errors import UserError
from sparsebench.launch import Launch
from sparsebench.replicas import Alone, Group
from sparsebench_jax.placement import Placement, found, mesh
from sparsebench_jax.trainer import JaxTrainer

PIECE = 2**26
"""Bytes that travel at once, at most."""
PATIENCE = 300.0
"""Seconds that processes wait for the first."""
LOCAL = ("localhost", "127.0.0.1", "::1")


def join(device: str, launch: Launch) -> tuple[JaxTrainer, Group]:
    """A trainer on the devices of all processes of a launch, and their group.

    Raises:
        UserError: there are not so many devices, it is too late to ask for them, or the others cannot be met.
    """
    if launch.processes > 1:
        _meet(launch)
    if device == "cpu":
        _prepare_hosts(launch.devices // launch.processes)
    devices = _devices(device, launch)

    def place(device: str) -> Placement:
        return mesh(devices, launch.rank, launch.processes)

    return JaxTrainer(device, place=place), Processes() if launch.processes > 1 else Alone()


def count(device: str) -> int | None:
    """How many devices of a kind this machine has; any number of the CPU."""
    return None if device == "cpu" else len(found(device))


def _prepare_hosts(count: int) -> None:
    """So many devices of the CPU, unless JAX has begun: then there are those that there are."""
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", count)


def _devices(device: str, launch: Launch) -> list[Any]:
    """As many of each process, by rank."""
    there, each = found(device), launch.devices // launch.processes
    own = [[one for one in there if one.process_index == rank][:each] for rank in range(launch.processes)]
    if (fewest := min(map(len, own))) < each:
        raise UserError(_too_few(device, each, fewest))
    return [one for devices in own for one in devices]


def _too_few(device: str, asked: int, there: int) -> str:
    given = f"{asked} devices {device!r} of one process were asked for, and jax has {there}"
    if device != "cpu":
        return f"{given}: use --devices {max(there, 1)}, or let more of them be seen"
    return f"{given}, since it had begun before: use a process of its own, or set JAX_NUM_CPU_DEVICES={asked} before"


def _meet(launch: Launch) -> None:
    """Once in the life of a process."""
    if jax.distributed.is_initialized():
        return
    address, each = _coordinator(launch.address), launch.devices // launch.processes
    host, _, port = address.rpartition(":")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        _await(host, int(port)) if launch.rank else _try(int(port))
        jax.distributed.initialize(
            address, launch.processes, launch.rank, _visible(launch.local, each),
            coordinator_bind_address=address if host in LOCAL else None,
        )  # fmt: skip
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"process {launch.rank} of {launch.processes} cannot meet the others at {address}: "
            f"{' '.join(str(error).split())}; begin all of them again, each in a new process, with a MASTER_PORT that "
            "is free like the one after it"
        ) from error


def _try(port: int) -> None:
    """Whether the first process can listen there; what JAX finds out later ends it without a word to the user."""
    with socket.create_server(("", port)):
        pass


def _await(host: str, port: int) -> None:
    """Until the first process listens; JAX would abort this one when it gives up."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _coordinator(address: str) -> str:
    """The port after the launcher's: `torchrun` listens on that one itself."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}"


def _visible(local: int, each: int) -> list[int] | None:
    """Which devices of this machine are this process's; None: all that it sees, if its launcher has chosen already."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None and len(chosen.split(",")) <= each:
        return None
    return list(range(local * each, (local + 1) * each))


@dataclass(frozen=True)
class Processes:
    """All processes of a launch."""

    @property
    def rank(self) -> int:
        """JAX's own number of this process."""
        return jax.process_index()

    @property
    def size(self) -> int:
        """How many have met."""
        return jax.process_count()

    def gather(self, content: bytes) -> list[bytes]:
        """What each gave, by rank: sizes first, then pieces of equal size."""
        sizes = [_size(each) for each in multihost_utils.process_allgather(_sized(content))]
        pieces = [multihost_utils.process_allgather(piece) for piece in _pieces(content, max(sizes))]
        return [b"".join(piece[rank].tobytes() for piece in pieces)[:size] for rank, size in enumerate(sizes)]

    def share(self, content: bytes) -> bytes:
        """What the first one gave."""
        size = _size(multihost_utils.broadcast_one_to_all(_sized(content)))
        pieces = _pieces(content, size)
        return b"".join(np.asarray(multihost_utils.broadcast_one_to_all(piece)).tobytes() for piece in pieces)[:size]


def _sized(content: bytes) -> NDArray[np.int32]:
    return np.array(divmod(len(content), PIECE), np.int32)


def _size(sized: NDArray[np.int32]) -> int:
    whole, rest = map(int, sized)
    return whole * PIECE + rest


def _pieces(content: bytes, size: int) -> list[NDArray[np.uint8]]:
    """The first `size` bytes, filled up with zeros; lengths are powers of two, so that few programs are compiled."""
    length = min(PIECE, 1 << max(size - 1, 0).bit_length())
    filled = content[:size].ljust(-(-size // length) * length, b"\0")
    return [np.frombuffer(filled, np.uint8, length, start) for start in range(0, len(filled), length)]
