"""A dense step against a masked one in the backend's own trainer, and one mask update, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparsebench import ledger, plugins
from sparsebench.conventions import known
from sparsebench.distributions import erk
from sparsebench.hardware import memory, workloads
from sparsebench.hardware.intervals import FEWEST, ratio
from sparsebench.hardware.kernels import Hardware
from sparsebench.hardware.timing import Seconds, in_a_row, interleaved, took
from sparsebench.hardware.workloads import Precision, Workload
from sparsebench.masks import Counts, Masks, Weights, budget, first_masks
from sparsebench.method import Event, Method
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.static import static
from sparsebench.models import initial_weights
from sparsebench.trainer import SparseTrainer, Task

SPARSITY = 0.9
OBSERVATION = 0.1
"""Seconds of one observation: as many steps as take about that long."""
MOST_STEPS = 100
DROP_FRACTION = 0.3
UPDATES = 10
STATISTICS = ("running_mean", "running_var")
PAIRS_SHARE = 0.7
"""Of the time there is, when pairs end: updates want the rest."""

Document = dict[str, Any]


@dataclass
class Training:
    """A network in training: every call goes on from where the last one ended."""

    trainer: SparseTrainer[Any]
    hardware: Hardware
    task: Task
    method: Method
    plan: Mapping[str, float]
    state: Any = None
    updates: int = 0

    def begin(self, weights: Weights, masks: Masks) -> None:
        """A fresh state, and one step."""
        self.state = self.trainer.init(self.task, weights, masks)
        self.train(1)

    def train(self, steps: int) -> None:
        """`steps` steps, and their end."""
        self.state, _ = self.trainer.train(self.state, self.method, self.task.feed(0), 0, steps)
        self.hardware.wait(self.state)

    def update(self) -> None:
        """One update of all masks by RigL, the dense gradient of its batch included."""
        event = Event(self.updates, drop_fraction=DROP_FRACTION, replaces_step=True)
        self.state, _ = self.trainer.update(self.state, rigl, event, self._budget(event), self.task.feed(0))
        self.hardware.wait(self.state)
        self.updates += 1

    def bytes(self) -> int | None:
        """The most bytes of arrays alive within a step."""
        return self.hardware.step_bytes(self.trainer, self.state, self.method, self.task.feed(0))

    def _budget(self, event: Event) -> dict[str, Counts]:
        now = {name: int(mask.sum()) for name, mask in self.trainer.masks(self.state).items()}
        return budget(rigl, self.task.prunable, self.plan, now, event)


def measure(workload: Workload, precision: Precision, name: str, device: str, repeats: int, seconds: float) -> Document:
    """One model in one backend and precision, in about `seconds` (or what compilation and the fewest pairs take)."""
    began = time.perf_counter()
    backend = plugins.load("backends", name)
    trainer, hardware, task = backend.trainer(device), backend.hardware(device), workloads.task(workload, precision)
    start = memory.resident()
    plan, weights = erk(task.prunable, SPARSITY), initial_weights(task.model, task.input, seed=0)
    masks = first_masks(static, task.prunable, plan, weights, seed=0)
    masked, plain = (Training(trainer, hardware, task, method, plan) for method in (static, dense))
    first = {"masked": took(lambda: masked.begin(weights, masks))}
    steps = in_a_row(lambda: masked.train(1), OBSERVATION, MOST_STEPS)
    masked.train(steps)
    peak = _peak(hardware, start)
    first["dense"] = took(lambda: plain.begin(weights, {}))
    held = {"masked": masked.bytes(), "dense": plain.bytes(), "masks": dict(hardware.mask_bytes(masked.state))}
    works: dict[str, Callable[[], object]] = {
        "masked": lambda: masked.train(steps),
        "dense": lambda: plain.train(steps),
    }
    until = began + PAIRS_SHARE * seconds
    done = interleaved(works, repeats, warmup=1, until=until, least=FEWEST)
    updates = None if time.perf_counter() > began + seconds else _updates(masked, began + seconds)
    pairs = len(done["masked"])
    return {
        **asdict(workload), "backend": name, "precision": precision, "sparsity": SPARSITY, "distribution": "erk",
        "steps": steps, **_size(task, weights),
        **_steps({each: values / steps for each, values in done.items()}, first, workload.batch),
        "update": updates, "memory": peak | held, "cut": _cut(pairs, repeats, updates),
    }  # fmt: skip


def _size(task: Task, weights: Weights) -> Document:
    """What floors follow from; running statistics are no parameters."""
    trained = [array for name, array in weights.items() if not name.endswith(STATISTICS)]
    return {
        "flops": known(3.0 * ledger.dense(task.layers) * task.recipe.batch_size),
        "parameters": sum(array.size for array in trained),
        "prunable": sum(layer.size for layer in task.prunable),
    }


def _steps(seconds: Mapping[str, Seconds], first: Mapping[str, float], batch: int) -> Document:
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        "seconds": {name: values.tolist() for name, values in seconds.items()},
        "step_seconds": medians,
        "images_per_second": {name: batch / median for name, median in medians.items()},
        "compile_seconds": {name: max(0.0, first[name] - medians[name]) for name in medians},
        "masked_to_dense": asdict(ratio(seconds["masked"], seconds["dense"])),
    }


def _updates(training: Training, until: float) -> Document:
    """Updates with a step before each, so that their gradients differ; the first compiles and is told apart."""
    first = took(training.update)
    seconds: list[float] = []
    while len(seconds) < UPDATES and (not seconds or time.perf_counter() < until):
        training.train(1)
        seconds.append(took(training.update))
    median = float(np.median(seconds))
    return {"seconds": seconds, "median": median, "compile_seconds": max(0.0, first - median)}


def _peak(hardware: Hardware, start: int | None) -> Document:
    """What a masked network in training has held at most, compilation included."""
    if (on_device := hardware.peak_memory()) is not None:
        return {"peak": on_device, "of": "the device's memory"}
    peak = memory.peak_resident()
    known = start is not None and peak is not None
    return {
        "peak": max(0, (peak or 0) - (start or 0)) if known else None,
        "of": "the process's resident memory above that with the framework loaded",
    }


def _cut(pairs: int, repeats: int, updates: Document | None) -> list[str]:
    cut = [f"{pairs} of {repeats} pairs"] if pairs < repeats else []
    if updates is None:
        return [*cut, "no mask update"]
    done = len(updates["seconds"])
    return [*cut, f"{done} of {UPDATES} mask updates"] if done < UPDATES else cut
