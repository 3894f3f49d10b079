"""A run among replicas: how its trainer is met, what they are asked to agree on, and a checkpoint read once for all."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from sparsebench import replicas
from sparsebench.checkpoints import PARTS, Checkpoint
from sparsebench.errors import UserError
from sparsebench.launch import Launch
from sparsebench.replicas import Alone, Group
from sparsebench.trainer import Backend, SparseTrainer


@cache
def joined(backend: Backend, device: str, launch: Launch) -> tuple[SparseTrainer[Any], Group]:
    """One trainer per process, so that its data and compiled programs serve every run, and who trains with it.

    Raises:
        UserError: the backend has no such device, or cannot train on so many.
    """
    if launch.devices == 1:
        return backend.trainer(device), Alone()
    if backend.spread is None:
        raise alone(backend)
    return backend.spread.join(device, launch)


def alone(backend: Backend) -> UserError:
    """The error for a backend that many devices are asked of."""
    return UserError(f"backend {backend.name!r} trains on one device: leave --devices out, or give another backend")


def agree(group: Group, trainer: SparseTrainer[Any], state: Any) -> None:
    """All replicas hold the same network.

    Raises:
        ReplicasDifferError: they do not; names layer and replica.
    """
    if group.size > 1:
        replicas.check(group, trainer.masks(state), "masks")
        replicas.check(group, trainer.weights(state), "weights")


def read_by_first(group: Group, read: Callable[[], Checkpoint | None]) -> Checkpoint | None:
    """What the first replica reads, on all: none can begin from an older checkpoint than the others.

    Raises:
        UserError: what reading it raises, on all.
    """
    if group.size == 1:
        return read()
    content = replicas.by_first(group, lambda: packed(found) if (found := read()) else None)
    return unpacked(content) if content else None


# ---- a checkpoint as bytes --------------------------------------------------------------------------------------


def packed(checkpoint: Checkpoint) -> bytes:
    """JSON and safetensors, one after another, each after its length."""
    from safetensors.numpy import save

    facts = {name: value for name, value in vars(checkpoint).items() if name not in PARTS}
    arrays = [getattr(checkpoint, name) for name in PARTS]
    parts = [json.dumps(facts).encode(), *(b"" if each is None else save(dict(each)) for each in arrays)]
    return b"".join(len(part).to_bytes(8) + part for part in parts)


def unpacked(content: bytes) -> Checkpoint:
    """What `packed` made."""
    from safetensors.numpy import load

    text, *arrays = _parts(content)
    facts = json.loads(text)
    found = {name: load(part) if part else None for name, part in zip(PARTS, arrays, strict=True)}
    return Checkpoint(**facts | found | {"resumed": tuple(facts["resumed"])})


def _parts(content: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8])
        found.append(content[at + 8 : at + 8 + length])
        at += 8 + length
    return found
