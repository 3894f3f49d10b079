"""SparseTrainer on JAX (Flax NNX, optax). Importing this package does not import jax; asking for a trainer does."""

from __future__ import annotations

from typing import Any

from sparsebench.hardware.kernels import Hardware
from sparsebench.launch import Launch
from sparsebench.replicas import Group
from sparsebench.trainer import Backend, SparseTrainer, Spread


def _trainer(device: str) -> SparseTrainer[Any]:
    from sparsebench_jax.trainer import JaxTrainer

    return JaxTrainer(device)


def _hardware(device: str) -> Hardware:
    from sparsebench_jax.kernels import hardware

    return hardware(device)


def _join(device: str, launch: Launch) -> tuple[SparseTrainer[Any], Group]:
    from sparsebench_jax.joining import join

    return join(device, launch)


def _count(device: str) -> int | None:
    from sparsebench_jax.joining import count

    return count(device)


backend = Backend(
    name="jax",
    summary="JAX with Flax NNX; a segment is one compiled loop with donated buffers",
    trainer=_trainer,
    packages=("jax", "flax", "optax"),
    extra="jax",
    hardware=_hardware,
    unread=frozenset({"memory_format"}),
    spread=Spread(_join, alone=True, count=_count),
)
