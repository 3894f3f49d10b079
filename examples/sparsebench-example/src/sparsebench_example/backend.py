"""The backend `numpy`, and the models it can build. Importing this module imports no framework."""

from typing import Any

from sparsebench.errors import UserError
from sparsebench.trainer import Backend, SparseTrainer


def _trainer(device: str) -> SparseTrainer[Any]:
    from sparsebench_example.trainer import Trainer

    if device != "cpu":
        raise UserError(f"device {device!r} was asked for, but backend 'numpy' knows only the host: use --device cpu")
    return Trainer()


backend = Backend(
    name="numpy",
    summary="plain NumPy on the host, for multi-layer perceptrons",
    trainer=_trainer,
    packages=("numpy",),
    builders={"lenet-300-100": "sparsebench_example.network:lenet_300_100"},
    unread=frozenset({"memory_format"}),
)
