"""What steps, updates and evaluations take here: measured in workers like those that train, and nothing is kept.

Runs that share a `Kind` take the same time a step, so a few steps of one stand for all of them. Work is bounded: of a
large batch only some samples are measured, of the test set one batch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sparsebench import ledger, records, runner
from sparsebench.config import Recipe, RunConfig
from sparsebench.data.source import Dataset, Split
from sparsebench.data.stream import Stream
from sparsebench.executors import pool
from sparsebench.forecast import Calibration
from sparsebench.journal import KINDS
from sparsebench.method import never
from sparsebench.prepare import Prepared, prepare
from sparsebench.trainer import Task
from sparsebench.worker import Event, Failed, Finished, Lost, Progressed, Report, Started, Told

WORK = {"cpu": 2e11, "cuda": 1e13}
"""FLOPs of what is measured at once, about: seconds."""
REPEATS = 5
LEAST, MOST = 0.3, 4.0
"""Seconds for which something is measured: what is short more often, what is long less."""
READ = 8
"""Batches that are read of images in files."""
RATE = 1e-4
"""Learning rate while measuring: a recipe's own is not for a part of its batch, and what diverges ends the run."""


@dataclass(frozen=True)
class Kind:
    """What runs have in common that take the same time a step; lengths and rates of the recipe are left out."""

    backend: str
    model: str
    dataset: str
    width: float
    recipe: Recipe


def kind_of(prepared: Prepared) -> Kind:
    """The kind of a run."""
    names = ("steps", "epochs", "milestones", "warmup", "schedule", "decay", "learning_rate", "evaluations")
    alike = {name: Recipe.model_fields[name].default for name in names}
    config, task = prepared.config, prepared.task
    return Kind(config.backend, config.model, config.dataset, task.width, config.recipe.model_copy(update=alike))


@dataclass(frozen=True)
class Calibrations:
    """What was measured of each kind, and why the others were not; seconds that a worker of a lane takes to begin."""

    found: dict[Kind, Calibration] = field(default_factory=dict[Kind, Calibration])
    failed: dict[Kind, Failed] = field(default_factory=dict[Kind, Failed])
    launches: dict[str, float] = field(default_factory=dict[str, float])


def calibrated(
    runs: Sequence[tuple[RunConfig, Prepared]], data: Path | None, device: str, workers: int
) -> Calibrations:
    """Measure every kind among some runs (as asked for, and as resolved), each in a worker of its backend's lane."""
    result, began = Calibrations(), dict[Kind, float]()
    examples = _examples(runs)
    kinds = {str(k): kind for k, kind in enumerate(examples)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [pool.Job(id, kind.backend, (examples[kind], folder / id)) for id, kind in kinds.items()]
        work = partial(_measure, data=data, device=device)
        with closing(pool.run(work, jobs, workers, folder / "log")) as events:
            for job, event in events:
                _note(result, kinds[job.id], event, began)
    return result


def _note(result: Calibrations, kind: Kind, event: Event, began: dict[Kind, float]) -> None:
    """A worker reports once, when it has loaded what it needs; its lane's first is the one that had to."""
    match event:
        case Started():
            began[kind] = time.monotonic()
        case Progressed():
            launch = time.monotonic() - began[kind]
            result.launches[kind.backend] = max(launch, result.launches.get(kind.backend, 0.0))
        case Finished():
            result.found[kind] = event.result
        case Failed():
            result.failed[kind] = event
        case Told() | Lost():  # the pool gives no job twice
            pass


def _examples(runs: Sequence[tuple[RunConfig, Prepared]]) -> dict[Kind, tuple[RunConfig, ...]]:
    """Of every kind a run with masks, if there is one, and one of each method whose updates or steps are its own."""
    found: dict[Kind, dict[str, RunConfig]] = {}
    for config, prepared in sorted(runs, key=lambda run: run[1].method.dense):
        method, examples = prepared.method, found.setdefault(kind_of(prepared), {})
        if not examples or method.updates or method.observe:
            examples.setdefault(method.name, config)
    return {kind: tuple(examples.values()) for kind, examples in found.items()}


# ---- in a worker ----------------------------------------------------------------------------------------------


def _measure(given: tuple[Sequence[RunConfig], Path], report: Report, data: Path | None, device: str) -> Calibration:
    configs, folder = given
    resolved = [prepare(config, data) for config in configs]
    runner.trainer_of(resolved[0].backend, device)
    report(1, 1)
    return measure(_reduced(resolved, device), device, folder)


def measure(examples: Sequence[Prepared], device: str, folder: Path) -> Calibration:
    """Measure runs of one kind, one for each method; runs of one step leave their records in `folder`."""
    first, trainer = _still(examples[0]), runner.trainer_of(examples[0].backend, device)
    (cold, _), (warm, rest) = (_short_run(first, device, folder / name) for name in ("cold", "warm"))
    current = runner.start(first, trainer)
    steps, updates = {False: _step(current, device)}, dict[str, _Pace]()
    evaluation = _repeated(lambda k: current.evaluate(k))
    for example in examples:
        run, method = runner.start(example, trainer), example.method
        if method.observe:
            steps[True] = _step(run, device)
        if method.updates:
            event = method.events(example.task.steps)[0]
            updates[method.name] = _repeated(lambda k, run=run, event=event: run.update(event))
    return Calibration(
        samples=first.task.recipe.batch_size,
        step=steps[False].seconds,
        observed=steps[True].seconds if True in steps else None,
        updates={name: pace.seconds for name, pace in updates.items()},
        evaluation=evaluation.seconds,
        rest=rest,
        setup=max(0.0, cold - warm) + sum(pace.setup for pace in (*steps.values(), evaluation, *updates.values())),
    )


@dataclass(frozen=True)
class _Pace:
    """Seconds that something takes each time, and how many more the first time."""

    seconds: float
    setup: float


def _repeated(work: Callable[[int], object]) -> _Pace:
    """The mean of some times after the first; `work` is told which time it is.

    The mean and not the median: where others want the same cores, a run's time has their slices in it too.
    """
    taken, began, passed = list[float](), time.perf_counter(), 0.0
    while len(taken) < 2 or passed < LEAST or (len(taken) <= REPEATS and passed < MOST):
        work(len(taken))
        passed, before = time.perf_counter() - began, passed
        taken.append(passed - before)
    usual = statistics.mean(taken[1:])
    return _Pace(usual, max(0.0, taken[0] - usual))


def _step(current: runner.Run, device: str) -> _Pace:
    """In segments as long as the run's own, or shorter where those are much work."""
    task = current.prepared.task
    usual = statistics.median_high(leg.stop - leg.start for leg in runner.legs(current.prepared))
    length = max(1, min(usual, _affordable(task, device) // task.recipe.batch_size))
    pace = _repeated(lambda k: current.train(k * length, (k + 1) * length))
    return _Pace(pace.seconds / length, pace.setup)


def _short_run(prepared: Prepared, device: str, folder: Path) -> tuple[float, float]:
    """Seconds of a run of one step, from its first mask to its record: in all, and apart from training."""
    began = time.perf_counter()
    path = runner.run(replace(prepared, task=replace(prepared.task, steps=1)), folder, device)
    total = time.perf_counter() - began
    spent = records.read(path).result["seconds"]
    return total, max(0.0, total - sum(spent[kind] for kind in KINDS))


def _still(prepared: Prepared) -> Prepared:
    """The run with the masks that it is to have, all along, if it is to have any."""
    if prepared.method.dense:
        return prepared
    still = replace(prepared.method, when=never, initial_sparsity=None, observe=None)
    return replace(prepared, method=still, first=prepared.sparsities)


# ---- less of everything ---------------------------------------------------------------------------------------


def _reduced(examples: Sequence[Prepared], device: str) -> list[Prepared]:
    """The runs with an affordable part of a batch, one batch of the test set, and masks of their own."""
    task, recipe = examples[0].task, examples[0].task.recipe
    samples = max(1, min(recipe.batch_size // recipe.accumulation, _affordable(task, device)))
    dataset, changes = _part(task, samples), {"batch_size": samples, "accumulation": 1, "learning_rate": RATE}
    return [
        replace(
            each,
            task=replace(each.task, dataset=dataset, recipe=recipe.model_copy(update=changes)),
            config=each.config.model_copy(update={"ticket": None, "rewind": 0}),
        )
        for each in examples
    ]


def _affordable(task: Task, device: str) -> int:
    """Samples that are trained in about `WORK`, as far as what they cost is known."""
    return int(WORK[device] / max(1, 3 * ledger.dense(task.prunable)))


def _part(task: Task, samples: int) -> Dataset:
    """Of the test set one batch; training images in memory all, as in a run, where they are moved to the device."""
    train, test = task.dataset.train, task.dataset.test
    seen = train if isinstance(train, Split) else _first(train, READ * samples)
    return replace(task.dataset, train=seen, test=_first(test, task.evaluation_batch))


def _first(split: Split | Stream, count: int) -> Split | Stream:
    if isinstance(split, Split):
        return Split(split.images[:count], split.labels[:count])
    return replace(split, paths=split.paths[:count], labels=split.labels[:count])
