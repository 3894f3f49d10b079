"""The runs that are killed: every kind of method, optimizer and state, on networks that train in a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sparsebench.config import Recipe, RunConfig, Updates

STEPS = 60
SETTINGS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    ("lenet-300-100", "rigl", {}, {}),
    ("small-conv", "granet", {"weight_decay": 1e-3}, {}),
    ("lenet-300-100", "snfs", {"nesterov": True}, {}),
    ("small-conv", "set", {"optimizer": "adam", "learning_rate": 0.01}, {}),
    ("lenet-300-100", "lottery", {}, {}),
    ("small-conv", "pruning", {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}, {}),
    ("lenet-300-100", "snfs-redistributed", {"optimizer": "adam", "learning_rate": 0.01}, {}),
    ("small-conv", "rigl", {"optimizer": "adam", "learning_rate": 0.01, "accumulation": 2}, {}),
    ("lenet-300-100", "srigl", {"momentum": 0.0}, {}),
    ("small-conv", "dense", {}, {"rewind": 20}),
    ("small-conv", "snfs", {"precision": "bfloat16"}, {}),
    ("lenet-300-100", "acdc", {}, {}),
)
"""Model, method, recipe, other settings."""


def configs(backend: str) -> Iterator[RunConfig]:
    """Their settings in this backend."""
    for model, method, recipe, others in SETTINGS:
        yield RunConfig(
            model=model, dataset="digits", method=method, sparsity=0.0 if method == "dense" else 0.8, backend=backend,
            recipe=Recipe(steps=STEPS, batch_size=32, evaluations=6, **recipe), updates=Updates(delta_t=5), **others,
        )  # fmt: skip
