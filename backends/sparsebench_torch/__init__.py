"""SparseTrainer on PyTorch. Importing this package does not import torch; asking it for a trainer does."""

from __future__ import annotations

from typing import Any

from sparsebench.hardware.kernels import Hardware
from sparsebench.trainer import Backend, SparseTrainer


def _trainer(device: str) -> SparseTrainer[Any]:
    from sparsebench_torch.trainer import TorchTrainer

    return TorchTrainer(device)


def _hardware(device: str) -> Hardware:
    from sparsebench_torch.kernels import hardware

    return hardware(device)


backend = Backend(
    name="torch",
    summary="PyTorch, eager; masks applied after the optimizer's step",
    trainer=_trainer,
    packages=("torch",),
    extra="torch",
    hardware=_hardware,
)
