"""A backend and a data set that take no time, as somebody else's package would register them.

The toy trainer does nothing but keep masks; the seed makes it misbehave: see `Toy.train`.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from sparsebench.data.source import Dataset, Source, Split, standardising_table
from sparsebench.errors import UserError
from sparsebench.masks import Change, host_noise, rewire
from sparsebench.method import Signals
from sparsebench.trainer import Backend, FrameworkCount, Metrics, Report, Tally

USER_ERROR, CRASH, KILLED, SLOW, DIVERGING, GREEDY = 101, 102, 103, 104, 105, 106
DIVERGED_AT = 5
"""The iteration at which a run of that seed loses its loss."""
MENDED, LOG = "mended", "TOY_LOG"
"""A file in the working folder that makes everybody behave; where TOY_LOG says, a line is added for each run begun."""

ENTRY_POINTS = """
[sparsebench.backends]
toy = toy:backend
bare = toy:bare
needy = toy:needy

[sparsebench.datasets]
dots = toy:dots

[sparsebench.methods]
broken = toy_that_is_not_there:method
wrong = toy:dots
alias = sparsebench.methods.rigl:rigl
"""


SUITE = """
title = "toys"
[task]
model = "lenet-300-100"
dataset = "dots"
[recipe]
batch_size = 4
steps = 12
[updates]
delta_t = 2
[grid]
methods = ["dense", "rigl"]
sparsities = [0.5]
backends = ["toy"]
seeds = 2
"""


class Toy:
    """A trainer whose state is (weights, masks)."""

    def supports(self, task, method):
        return None

    def count(self, task):
        return FrameworkCount("fingers", None)

    def init(self, task, weights, masks):
        if LOG in os.environ:
            with open(os.environ[LOG], "a") as log:
                log.write(f"{os.getpid()} {task.steps}\n")
        return dict(weights), masks, task

    def train(self, state, method, feed, start, stop):
        if Path(MENDED).exists():
            return state, Tally(np.full(stop - start, 0.5, np.float32))
        if feed.seed == GREEDY:
            np.empty(1 << 55)
        if feed.seed == USER_ERROR:
            raise UserError("the toy was given seed 101: give another")
        if feed.seed == CRASH:
            raise RuntimeError("the toy\nbroke")
        if feed.seed == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if feed.seed == SLOW:
            time.sleep(0.2 * (stop - start))
        losses = np.full(stop - start, 0.5, np.float32)
        if feed.seed == DIVERGING:
            losses[np.arange(start, stop) >= DIVERGED_AT] = np.nan
        return state, Tally(losses)

    def update(self, state, method, event, budget, feed):
        weights, masks, task = state
        new = {}
        for layer in task.layers:
            weight, counts = weights[f"{layer.name}.weight"], budget[layer.name]
            signals = Signals(weight, weight, masks[layer.name], host_noise(layer, (feed.seed, event.iteration)))
            new[layer.name], _ = rewire(np, method, layer, signals, counts.kept, counts.grown)
        return (weights, new, task), Report(None, {name: changed(masks[name], new[name]) for name in new})

    def evaluate(self, state, split):
        return Metrics(0.5, 0.7)

    def snapshot(self, state):
        weights, masks, _ = state
        return {**weights, **{f"mask {name}": mask for name, mask in masks.items()}}

    def restore(self, task, arrays):
        masks = {name.removeprefix("mask "): arrays[name] for name in arrays if name.startswith("mask ")}
        return {name: arrays[name] for name in arrays if not name.startswith("mask ")}, masks, task

    def weights(self, state):
        return state[0]

    def masks(self, state):
        return state[1]


def changed(old, new):
    """What going from one mask to the other did."""
    return Change(int(new.sum()), int((new & ~old).sum()), int((old & ~new).sum()))


def build(input):
    """A module that nobody looks at."""
    return input


def _trainer(device):
    if device != "cpu":
        raise UserError(f"device {device!r} was asked for, but the toy sees none: use --device cpu")
    return Toy()


def _broken_driver(device):
    raise RuntimeError("the driver is older than the library")


def _load(folder):
    pixels = np.arange(64, dtype=np.uint8).reshape(16, 1, 2, 2)
    split = Split(pixels, np.arange(16, dtype=np.int32) % 2)
    return Dataset("dots", 2, split, split, standardising_table(pixels))


BUILDERS = {"lenet-300-100": "toy:build"}
backend = Backend("toy", "does nothing", _trainer, builders=BUILDERS)
bare = Backend("bare", "builds nothing", _broken_driver)
needy = Backend("needy", "needs what nobody has", _trainer, packages=("no-such-package",), extra="needy")
dots = Source("dots", "sixteen samples of four pixels", _load)


def install(folder: Path, name: str = "toybox", entry_points: str = ENTRY_POINTS) -> None:
    """Write the metadata of an installed distribution into a folder that is on sys.path."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
