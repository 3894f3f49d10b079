"""Records for pictures: a small board in two frameworks whose masks moved, with figures that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import records_fixture as fixture
from sparsebench import seals
from sparsebench.records import Record

METHODS = (("dense", 0.0), ("static", 0.9), ("rigl", 0.9), ("rigl", 0.98), ("set", 0.98))
ACCURACY = {("dense", 0.0): 0.97, ("static", 0.9): 0.93, ("rigl", 0.9): 0.96, ("rigl", 0.98): 0.92, ("set", 0.98): 0.91}
SEEDS = (0, 1, 2)


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    """The records of `made`."""
    return made(tmp_path_factory.mktemp("records"))


@pytest.fixture
def styled():
    """As `Kind.svg` draws."""
    from sparsebench_board.pictures import style

    with style.applied():
        yield


def made(root: Path, **settings) -> list[Record]:
    """Every method in both frameworks with three seeds that lie 0.01 apart; torch and jax reach the same."""
    return [
        moving(root, ACCURACY[method, sparsity] + 0.01 * (seed - 1), method=method, sparsity=sparsity, seed=seed,
               backend=backend, **settings)
        for method, sparsity in METHODS
        for backend in ("torch", "jax")
        for seed in SEEDS
    ]  # fmt: skip


def moving(root: Path, accuracy: float = 0.9, **settings) -> Record:
    """A record of a run; RigL's and SET's tell of two updates and how masks moved, and seed 2 of jax another way."""
    config = fixture.config(**settings)
    moves = config.method in ("rigl", "set")
    record = fixture.write(root, config, accuracy, moved=fixture.movement(*masks(config)) if moves else None)
    if moves:
        rewrite(record, updates(active(config.sparsity)))
    else:
        rewrite(record, [])
    return record


def active(sparsity: float) -> int:
    """Connections of the one layer."""
    return round(fixture.SIZE * (1 - sparsity))


def masks(config) -> list[np.ndarray]:
    """At the start and after two updates: each moves a tenth of the connections, seed 2 of jax another tenth."""
    count, step = active(config.sparsity), active(config.sparsity) // 10
    other = 500 * (config.backend == "jax" and config.seed == 2)
    found = []
    for k in range(3):
        mask = np.zeros(fixture.SIZE, np.bool_)
        mask[: count - k * step] = True
        mask[500 + other * bool(k) - k * step : 500 + other * bool(k)] = True
        found.append(mask.reshape(20, 50))
    return found


def updates(count: int) -> list[dict]:
    """Two updates that drop a tenth each."""
    step = count // 10
    return [
        {"kind": "update", "iteration": i, "replaces_step": False, "loss": None, "drop_fraction": 0.1, "seconds": 0.01,
         "layers": {"fc1": {"active": count, "grown": step, "dropped": step}}}
        for i in (99, 199)
    ]  # fmt: skip


def rewrite(record: Record, changes: list[dict]) -> None:
    """Give a record these updates in place of its own."""
    others = [event for event in record.events() if event["kind"] != "update"]
    (record.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in others + changes))
    seals.write(record.path)


def marks(panel):
    """(x, y) of every marker of a panel, rounded."""
    return {
        (round(float(x), 6), round(float(y), 4))
        for line in panel.lines
        if line.get_marker() not in ("None", "_", "")
        for x, y in line.get_xydata()
    }
