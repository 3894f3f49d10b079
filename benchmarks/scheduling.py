"""What the pool costs: cells of some seconds, by hand and by `sparsebench run`, and 1,000 cells that take no time.

By hand: one process trains the cells in a row, as a loop around the harness would. Both sides are whole processes on
one core, from start to end, imports included, and take turns. What is compared is their time on the clock.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from many_runs import pretended
from sparsebench import runner, suite
from sparsebench.cli.live import shown
from sparsebench.cli.work import prepare_all
from sparsebench.config import Recipe, RunConfig
from sparsebench.executors.jobs import Job
from sparsebench.executors.pool import Pool, available_cores
from sparsebench.prepare import prepare
from sparsebench.progress import Item
from sparsebench.worker import Failed, Report

SUITE = """
title = "cells"
[task]
model = "lenet-300-100"
dataset = "digits"
[recipe]
steps = {steps}
[grid]
methods = ["static"]
sparsities = [0.9]
backends = ["torch"]
seeds = {cells}
"""

BY_HAND = """
import sys
from pathlib import Path
from sparsebench.worker import Report, share_politely
share_politely()
from sparsebench import suite
from sparsebench.cli.work import train_one
for run in suite.runs(suite.load(sys.argv[1])):
    train_one(run.config, Report(lambda event: None), None, Path(sys.argv[2]), "cpu")
"""


def timed(command: list[str], core: int) -> float:
    """Seconds that a command takes on one core."""
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    return time.perf_counter() - began


def pairs(cells: int, steps: int, repeats: int) -> Iterator[tuple[float, float]]:
    """(by hand, by the pool), in turns, the first of them in turns too."""
    core = available_cores()[-1]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "cells.toml"
        file.write_text(SUITE.format(steps=steps, cells=cells))
        for k in range(repeats):
            folder = Path(name) / str(k)
            hand = [sys.executable, "-c", BY_HAND, str(file), str(folder / "hand")]
            pool = [sys.executable, "-m", "sparsebench.cli", "run", str(file), "--records", str(folder / "pool")]
            pool += ["--slots", "1", "--no-mlflow"]
            both = [timed(each, core) for each in ((hand, pool) if k % 2 == 0 else (pool, hand))]
            yield (both[0], both[1]) if k % 2 == 0 else (both[1], both[0])


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def pretend(config: RunConfig, report: Report, records: Path) -> None:
    """A run of a trainer that trains nothing; all else is the harness's."""
    prepared = prepare(config)
    runner.run(replace(prepared, backend=pretended(prepared.backend.name)), records, progress=report)


def many(count: int, slots: int) -> tuple[float, float]:
    """Seconds from settings to jobs, and from there to the last record."""
    recipe = Recipe(steps=10)
    grid = (
        RunConfig(model="lenet-300-100", dataset="digits", method="static", backend="torch", seed=seed, recipe=recipe)
        for seed in range(count)
    )
    with tempfile.TemporaryDirectory() as name:
        root, began = Path(name), time.perf_counter()
        entries = prepare_all(map(suite.Asked, grid), None, root)
        prepared = time.perf_counter()
        items = [Item(entry.id, entry.label, entry.prepared.task.steps) for entry in entries]
        jobs = [Job(entry.id, entry.asked.backend, entry.asked) for entry in entries]
        events = Pool(slots).run(partial(pretend, records=root), jobs, root / "log")
        with shown(items, Console(file=io.StringIO(), force_terminal=True)) as show, closing(events):
            for job, event in events:
                show(job.id, event)
                if isinstance(event, Failed):
                    sys.exit(event.reason)
        return prepared - began, time.perf_counter() - prepared


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=3, help="cells of a command")
    parser.add_argument("--steps", type=int, default=9000, help="their length")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--trivial", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=len(available_cores()))
    options = parser.parse_args()
    planned, done = many(options.trivial, options.slots)
    print(f"{options.trivial} trivial cells: {planned:.1f} s to prepare, {done:.1f} s in {options.slots} slots")
    print(f"load {os.getloadavg()[0]:.1f}")
    found = list(pairs(options.cells, options.steps, options.repeats))
    for hand, pool in found:
        print(f"by hand {hand:.1f} s, pool {pool:.1f} s: {pool / hand:.3f}")
    middle, low, high = interval([pool / hand for hand, pool in found])
    print(f"pool / by hand {middle:.3f} [{low:.3f}, {high:.3f}], load {os.getloadavg()[0]:.1f}")
