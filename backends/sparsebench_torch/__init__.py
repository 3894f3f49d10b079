"""SparseTrainer on PyTorch. Importing this package does not import torch; asking it for a trainer does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sparsebench.hardware.kernels import Hardware
from sparsebench.launch import Launch
from sparsebench.replicas import Group
from sparsebench.trainer import Backend, SparseTrainer, Spread


def _trainer(device: str) -> SparseTrainer[Any]:
    from sparsebench_torch.trainer import TorchTrainer

    return TorchTrainer(device)


def _hardware(device: str) -> Hardware:
    from sparsebench_torch.kernels import hardware

    return hardware(device)


def _join(device: str, launch: Launch) -> tuple[SparseTrainer[Any], Group]:
    from sparsebench_torch.trainer import join

    return join(device, launch)


def _count(device: str) -> int | None:
    from sparsebench_torch.replicas import count

    return count(device)


def _starter(devices: int) -> Sequence[str]:
    """torchrun, by the name that it has wherever torch is installed."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}"]


backend = Backend(
    name="torch",
    summary="PyTorch, eager; masks applied after the optimizer's step",
    trainer=_trainer,
    packages=("torch",),
    extra="torch",
    hardware=_hardware,
    spread=Spread(_join, starter=_starter, count=_count),
)
