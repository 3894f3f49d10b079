"""Synthetic records, written through `sparsebench.records.write` as the runner writes them, and rows by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsebench import identity, records, seals
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.layers import linear
from sparsebench.movement import Movement, Notes
from sparsebench_board.rows import Row

STEPS = 200
SIZE = 1000
LAYER = linear("fc1", 50, 20)
DENSE_INFERENCE = 2.0 * SIZE
DENSE_TRAINING = 3 * DENSE_INFERENCE * 128 * STEPS


def config(
    method: str = "rigl", sparsity: float = 0.9, seed: int = 0, backend: str = "torch", **other: Any
) -> RunConfig:
    """A resolved configuration; `other` are further fields of `RunConfig`."""
    settings: dict[str, Any] = {
        "model": "lenet-300-100", "dataset": "digits", "recipe": Recipe(steps=STEPS),
        "updates": Updates(delta_t=20, alpha=0.3, begin=0.0, end=0.75, anneal="cosine"),
    }  # fmt: skip
    return RunConfig(method=method, sparsity=sparsity, seed=seed, backend=backend, **(settings | other))


def write(
    root: Path, config: RunConfig, accuracy: float = 0.9, *, result: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None, data: str = "d" * 64, numerics: int = 1, moved: Movement | None = None,
) -> records.Record:  # fmt: skip
    """One record of `config` that reached `accuracy`; `result` and `environment` replace single entries."""
    active = round(SIZE * (1 - config.sparsity))
    document = identity.document(config, data, numerics, 1, 1)
    documents = {
        "config": document,
        "environment": _environment(config) | (environment or {}),
        "layers": {"layers": [
            {"name": "fc1", "kind": "linear", "shape": [20, 50], "size": SIZE, "active": active,
             "density": active / SIZE, "macs": SIZE},
        ]},
        "result": _result(accuracy, active) | (result or {}),
    }  # fmt: skip
    mask = np.arange(SIZE).reshape(20, 50) < active
    weights = {"fc1.weight": mask.astype(np.float32)}
    return records.read(
        records.write(root, document["id"], documents, events(accuracy, active), weights, {"fc1": mask}, moved=moved)
    )


def diverge(root: Path, config: RunConfig, **other: Any) -> records.Record:
    """A record of `config` whose training loss was NaN at iteration 150, after one evaluation and an update."""
    when = {"iteration": 150, "during": "train", "what": "loss", "value": "nan", "layer": None}
    active = round(SIZE * (1 - config.sparsity))
    until = {"training_flops": DENSE_TRAINING / 4, "training_ratio": 0.25 * active / SIZE}
    lost = {"status": "diverged", "diverged": when, "accuracy": None, "loss": None, **until}
    record = write(root, config, result=lost, **other)
    told = [*events(0.8, active)[:-2], {"kind": "diverged", **when, "start": 101, "stop": STEPS, "seconds": 0.1}]
    (record.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    seals.write(record.path)
    return record


def unsealed(folder: Path) -> Path:
    """A record without digests, as older versions made them: whatever is changed in it is read as it stands."""
    (folder / seals.NAME).unlink(missing_ok=True)
    return folder


def movement(*masks: np.ndarray) -> Movement:
    """Notes of masks of the one layer, the first at the start, the others every hundred iterations."""
    notes = Notes([LAYER], {"fc1": masks[0]}, frozenset())
    for k, mask in enumerate(masks):
        notes.take(100 * k, {"fc1": mask})
    return notes.movement()


def events(accuracy: float, active: int) -> list[dict[str, Any]]:
    """Two segments, an update between them, an evaluation after each."""
    change = {"fc1": {"active": active, "grown": 3, "dropped": 3}}
    return [
        {"kind": "train", "start": 0, "stop": 100, "loss": 1.2345678, "seconds": 0.1},
        {"kind": "evaluate", "iteration": 100, "split": "test", "accuracy": accuracy / 2, "loss": 0.9, "seconds": 0.01},
        {"kind": "update", "iteration": 100, "replaces_step": True, "loss": 0.8, "drop_fraction": 0.3, "seconds": 0.01,
         "layers": change},
        {"kind": "train", "start": 101, "stop": STEPS, "loss": 0.5, "seconds": 0.1},
        {"kind": "evaluate", "iteration": STEPS, "split": "test", "accuracy": accuracy, "loss": 0.25, "seconds": 0.01},
    ]  # fmt: skip


def _environment(config: RunConfig) -> dict[str, Any]:
    return {
        "sparsebench": "0.1.0", "commit": "0123456789ab", "python": "3.11.9", "platform": "Linux",
        "cpu": "Example CPU", "threads": 2, "device": "cpu", "packages": {"numpy": "2.1.0", config.backend: "1.0"},
        "started": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


def _result(accuracy: float, active: int) -> dict[str, Any]:
    density = active / SIZE
    return {
        "status": "complete", "accuracy": accuracy, "loss": 0.25, "steps": STEPS,
        "training_flops": DENSE_TRAINING * density, "dense_training_flops": DENSE_TRAINING, "training_ratio": density,
        "inference_flops": DENSE_INFERENCE * density, "dense_inference_flops": DENSE_INFERENCE,
        "inference_ratio": density,
        "executed": {"forward": 1, "activation_gradient": 1, "weight_gradient": 1, "dense_weight_gradient": 0},
        "bytes": 4 * active + SIZE // 8, "parameters": SIZE, "active_parameters": active,
        "seconds": {"train": 0.2, "update": 0.01, "evaluate": 0.02, "total": 0.3},
        "steps_per_second": 500.0, "finished": "2026-01-02T03:05:05+00:00",
    }  # fmt: skip


def row(**changes: Any) -> Row:
    """A row made by hand."""
    usual = Row(
        cell="c", model="mlp", dataset="digits", method="rigl", sparsity=0.9, distribution="erk", multiplier=1.0,
        backend="torch", settings={}, accuracy=0.9721, accuracy_ci95=0.0035,
        accuracy_low=0.9686, accuracy_high=0.9756, accuracy_interval="t",
        training_flops=12e6, training_ratio=0.12, dense_training_flops=1e8,
        inference_flops=100.0, inference_ratio=0.1, dense_inference_flops=1000.0, bytes=66_000,
        steps_per_second=1234.5, seconds=60.0, seeds=(0, 1, 2), accuracies=(0.97, 0.9721, 0.9742), missing=(),
        run_ids=("a", "b", "c"), hardware="Example CPU, 2 threads, device cpu",
        versions={"sparsebench": "0.1.0", "torch": "2.11"}, twin="t",
    )  # fmt: skip
    return replace(usual, **changes)
