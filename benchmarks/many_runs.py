"""Writes a folder of records as 1,000 finished runs leave it, without training: for timing what reads many of them.

Settings, ledger, journal and files are the harness's own, run by the harness's own loop; only the trainer pretends. Its
accuracies follow a curve over sparsity with a spread over seeds, its masks are drawn at random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from sparsebench import plugins, runner
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.data.feed import Feed
from sparsebench.masks import Change, Counts, Mask
from sparsebench.method import Event, Method
from sparsebench.models import Arrays
from sparsebench.prepare import prepare
from sparsebench.trainer import Backend, FrameworkCount, Metrics, Report, Tally, Task

MODELS = ("lenet-300-100", "wrn-22-2")
METHODS = ("dense", "static", "set", "rigl", "snfs", "pruning", "snip")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
SEEDS = range(10)
STEPS = 4000
LOSES = {"static": 0.3, "snip": 0.25, "set": 0.15, "snfs": 0.12, "rigl": 0.1, "pruning": 0.05}
"""The share of its accuracy that a method loses towards sparsity 1."""


@dataclass
class Pretence:
    """The state of a run: its masks, and what its accuracy follows from."""

    task: Task
    masks: dict[str, Mask]
    method: str = ""
    done: int = 0
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class Pretender:
    """A `SparseTrainer` that trains nothing; its backend's name shifts its accuracies a little."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def supports(self, task: Task, method: Method) -> None:
        """Everything is."""

    def count(self, task: Task) -> FrameworkCount:
        """No framework, no count."""
        return FrameworkCount("none", None)

    def init(self, task: Task, weights: Arrays, masks: Mapping[str, Mask]) -> Pretence:
        """At iteration 0."""
        return Pretence(task, dict(masks))

    def train(self, state: Pretence, method: Method, feed: Feed, start: int, stop: int) -> tuple[Pretence, Tally]:
        """A loss that falls."""
        if not state.method:
            state.generator = np.random.default_rng([feed.seed, *map(ord, method.name + self.backend)])
        state.method, state.done = method.name, stop
        fall = np.exp(-4 * np.arange(start, stop) / state.task.steps)
        return state, Tally((2.3 * fall + 0.05 * state.generator.random(stop - start)).astype(np.float32))

    def update(
        self, state: Pretence, method: Method, event: Event, budget: Mapping[str, Counts], feed: Feed
    ) -> tuple[Pretence, Report]:
        """Masks with the planned counts, of which half of what is grown is new."""
        state.done = event.iteration + 1
        changes = {name: _moved(state, name, counts) for name, counts in budget.items()}
        return state, Report(0.5, changes)

    def evaluate(self, state: Pretence, split: str) -> Metrics:
        """Closer to what the method reaches with every step."""
        entries = sum(mask.size for mask in state.masks.values())
        sparsity = 1 - sum(int(mask.sum()) for mask in state.masks.values()) / entries if entries else 0.0
        reached = 0.95 * (1 - LOSES.get(state.method, 0) * sparsity**8)
        rising = 1 - 0.8 * np.exp(-6 * state.done / state.task.steps)
        accuracy = round(10_000 * (reached * rising + 0.004 * state.generator.standard_normal())) / 10_000
        return Metrics(min(1.0, accuracy), float(-np.log(min(accuracy, 0.999))))

    def weights(self, state: Pretence) -> dict[str, np.ndarray]:
        """None: no board reads them."""
        return {}

    def masks(self, state: Pretence) -> dict[str, Mask]:
        """The last ones."""
        return state.masks


def _moved(state: Pretence, name: str, counts: Counts) -> Change:
    old = state.masks[name]
    new = np.zeros(old.size, np.bool_)
    new[np.flatnonzero(old)[: counts.kept]] = True
    start = int(state.generator.integers(old.size))
    free = np.flatnonzero(~np.roll(new, -start))[: counts.grown]
    new[(free + start) % old.size] = True
    new = new.reshape(old.shape)
    state.masks[name] = new
    return Change(int(new.sum()), int((new & ~old).sum()), int((old & ~new).sum()))


def configs() -> Iterator[RunConfig]:
    """A cell after the other, all seeds of each."""
    recipe, updates = Recipe(steps=STEPS, learning_rate=0.1), Updates(delta_t=100)
    for sparsity, model, method, backend, seed in product(SPARSITIES, MODELS, METHODS, ("torch", "jax"), SEEDS):
        yield RunConfig(
            model=model, dataset="digits", method=method, backend=backend, seed=seed,
            sparsity=sparsity, recipe=recipe, updates=updates,
        )  # fmt: skip


def write(root: Path, count: int) -> int:
    """Records of `count` runs, or of as many as there are; returns how many were written."""
    done: set[str] = set()
    for prepared in map(prepare, configs()):
        if prepared.id not in done:
            done.add(prepared.id)
            runner.run(replace(prepared, backend=pretended(prepared.backend.name)), root)
        if len(done) == count:
            break
    return len(done)


@cache
def pretended(name: str) -> Backend:
    """A backend in name and versions."""
    return replace(plugins.load("backends", name), trainer=lambda device: Pretender(name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write the records")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    began = time.perf_counter()
    print(f"{write(options.folder, options.runs)} records in {time.perf_counter() - began:.0f} s")
