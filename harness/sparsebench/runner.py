"""One run, from its first mask to its record. The loop knows no framework and no tracking server."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sparsebench import checkpoints, environment, records, redoing, tickets
from sparsebench.checkpoints import Checkpoint
from sparsebench.data.feed import Feed
from sparsebench.divergence import DIVERGED, DivergedError, Divergence, During, bad
from sparsebench.errors import NonFiniteScoreError, UserError
from sparsebench.explored import Explored
from sparsebench.journal import Journal
from sparsebench.keeping import WHEN_ASKED, Keep, Keeper
from sparsebench.launch import ONE, Launch
from sparsebench.ledger import Ledger
from sparsebench.masks import Weights, budget
from sparsebench.method import Event
from sparsebench.movement import Notes, noted
from sparsebench.prepare import Prepared
from sparsebench.replicas import by_first, same_run
from sparsebench.results import counted, layer_table, result
from sparsebench.stopping import deferred
from sparsebench.tickets import Beginning, fresh
from sparsebench.timeline import Leg, timeline
from sparsebench.together import agree, joined, read_by_first
from sparsebench.trainer import Backend, Metrics, SparseTrainer

Progress = Callable[[int, int], None]
"""(steps done, steps in all)."""


@dataclass
class Run:
    """The moving parts of one run between its events.

    `train`, `update` and `evaluate` raise DivergedError where what they come to is not finite.
    """

    prepared: Prepared
    trainer: SparseTrainer[Any]
    state: Any
    feed: Feed
    ledger: Ledger
    active: dict[str, int]
    sparsities: Mapping[str, float]
    start: int = 0
    journal: Journal = field(default_factory=Journal)
    rewind: Weights | None = None
    notes: Notes | None = None
    resumed: tuple[int, ...] = ()
    explored: Explored = field(default_factory=Explored)

    def train(self, start: int, stop: int) -> None:
        """Optimizer steps start … stop − 1."""
        began = time.perf_counter()
        self.state, tally = self.trainer.train(self.state, self.prepared.method, self.feed, start, stop)
        enter = self.ledger.observed_steps if self.prepared.method.observe else self.ledger.steps
        enter(stop - start, self.active)
        lost = np.flatnonzero(~np.isfinite(tally.losses))
        if lost.size:
            first = int(lost[0])
            self._check(began, start + first, "train", {"loss": float(tally.losses[first])}, start=start, stop=stop)
        loss = float(tally.losses.mean(dtype="float64"))
        self.journal.enter("train", began, start=start, stop=stop, loss=loss)

    def update(self, event: Event) -> None:
        """One mask update."""
        began = time.perf_counter()
        prepared = self.prepared
        layers, first = prepared.task.prunable, prepared.first
        counts = budget(prepared.method, layers, self.sparsities, self.active, event, first)
        self.ledger.update(prepared.method, self.active)
        facts: dict[str, Any] = {"replaces_step": event.replaces_step, "drop_fraction": event.drop_fraction}
        try:
            self.state, report = self.trainer.update(self.state, prepared.method, event, counts, self.feed)
        except NonFiniteScoreError as error:
            divergence = Divergence(event.iteration, "update", f"{error.role} score", layer=error.layer)
            self._diverge(divergence, began, **facts)
        self.active = {name: change.active for name, change in report.layers.items()}
        facts["layers"] = {name: asdict(change) for name, change in report.layers.items()}
        self._check(began, event.iteration, "update", {"loss": report.loss}, **facts)
        self.journal.enter("update", began, iteration=event.iteration, loss=report.loss, **facts)

    def _check(
        self, began: float, iteration: int, during: During, found: Mapping[str, float | None], **facts: Any
    ) -> None:
        """End the run if one of these numbers is not finite."""
        for what, value in found.items():
            if told := bad(value):
                self._diverge(Divergence(iteration, during, what, told), began, **facts)

    def _diverge(self, divergence: Divergence, began: float, **facts: Any) -> NoReturn:
        """End the run; in its events, that stands where the segment, update or evaluation would."""
        self.journal.enter(DIVERGED, began, **asdict(divergence), **facts)
        raise DivergedError(divergence)

    def note(self, done: int) -> None:
        """How the masks stand after the update that ends `done` iterations; in nobody's time."""
        masks = self.trainer.masks(self.state)
        self.explored.see(masks)
        if self.notes and done in self.notes.due:
            self.notes.take(done, masks)

    def evaluate(self, done: int) -> Metrics:
        """Accuracy and loss on the test split after `done` iterations."""
        began = time.perf_counter()
        metrics = self.trainer.evaluate(self.state, "test")
        self._check(began, done, "evaluate", asdict(metrics), split="test")
        self.journal.enter("evaluate", began, iteration=done, split="test", **asdict(metrics))
        return metrics


def run(
    prepared: Prepared, root: Path, device: str = "cpu", progress: Progress = lambda done, steps: None,
    keep: Keep = WHEN_ASKED, launch: Launch = ONE,
) -> Path:  # fmt: skip
    """Train to the end, from the last checkpoint if there is one, and write the record; returns its folder.

    A run that is recorded is done again only if it is marked (`sparsebench.redoing`); one that another process is
    training is waited for. Where `launch` says that this process is one of several, all of them call this; the first
    one alone reads and writes, and is told of progress.

    A loss or a score that is not finite ends the run there: its record then has the status *diverged*.

    Raises:
        UserError: the backend cannot run this, the checkpoint is another run's, the record cannot be written, or
            replicas differ.
    """
    group = joined(prepared.backend, device, launch)[1]
    same_run(group, prepared.identity)
    path = root / prepared.id
    with ExitStack() as held:
        by_first(group, lambda: held.enter_context(checkpoints.held(root, prepared.id)))
        if by_first(group, lambda: b"due" if redoing.is_due(root, prepared.id) else None):
            path = _run(prepared, root, device, progress if group.rank == 0 else _unseen, keep, launch)
        by_first(group, lambda: checkpoints.remove(root, prepared.id))
        return path


def _unseen(done: int, steps: int) -> None:
    """The first replica tells it."""


def _run(prepared: Prepared, root: Path, device: str, progress: Progress, keep: Keep, launch: Launch) -> Path:
    began = time.perf_counter()
    trainer, group = joined(prepared.backend, device, launch)
    surroundings = environment.describe(prepared.backend, device, prepared.task.model.packages)
    surroundings["devices"] = launch.devices
    surroundings |= {"continued": prepared.before.environment} if prepared.before else {}
    surroundings |= {"weights": prepared.start.path.name} if prepared.start else {}
    ticket = tickets.read(prepared, root)
    current = start(prepared, trainer, ticket)
    kept = read_by_first(group, lambda: checkpoints.latest(root, prepared.identity, keep.tell, surroundings))
    if found := kept or prepared.before:
        current = _continued(current, found)
        began -= found.seconds
        surroundings["resumed"] = current.resumed
    agree(group, trainer, current.state)
    with deferred() as asked:
        end = _ended(current, progress, Keeper(root, keep, asked, began, surroundings, group))
    agree(group, trainer, current.state)
    weights, masks = trainer.weights(current.state), trainer.masks(current.state)
    current.explored.see(masks)  # those of an update that the run diverged in, too
    documents = {
        "config": prepared.identity,
        "environment": surroundings,
        "layers": {"input": asdict(prepared.task.input), "layers": layer_table(prepared.task.prunable, current.active)},
        "result": result(prepared, end, current.ledger, current.active, current.journal, began, ticket)
        | {
            "explored": current.explored.rate(),
            "framework_count": counted(trainer.count(prepared.task), prepared.task),
        },
    }
    movement = current.notes.movement() if current.notes else None
    place = redoing.replace if redoing.is_marked(root, prepared.id) else None
    written = (root, prepared.id, documents, current.journal.events, weights, masks, current.rewind, movement, place)
    return Path(os.fsdecode(by_first(group, lambda: os.fsencode(records.write(*written)))))


def _continued(current: Run, found: Checkpoint) -> Run:
    """The run as it was at its checkpoint."""
    task = current.prepared.task
    executed = {name: dict(row) for name, row in found.executed.items()}
    return replace(
        current,
        state=_restored(current, found),
        ledger=Ledger(task.layers, task.recipe.batch_size, executed),
        active=dict(found.active),
        start=found.done,
        journal=Journal([*found.events]),
        rewind=None if found.rewind is None else dict(found.rewind),
        notes=current.notes and current.notes.again(found.notes),
        explored=current.explored.again(found.notes),
        resumed=(*found.resumed, found.done),
    )


def _restored(current: Run, found: Checkpoint) -> Any:
    """Its state; what another backend left, or who has changed it since, may hold what this one cannot read."""
    backend = current.prepared.backend.name
    try:
        if (
            found is current.prepared.before
            and found.events
            and (at := found.events[0].get("start", 0)) > current.start
        ):
            raise ValueError(f"it began after {at} iterations, its ticket after {current.start}")
        return current.trainer.restore(current.prepared.task, found.state)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        if found is not current.prepared.before:
            raise
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"the checkpoint that --continue names cannot go on in {backend} ({told}): give one as it was written, or "
            "continue it where it was begun"
        ) from error


def trainer_of(backend: Backend, device: str) -> SparseTrainer[Any]:
    """The one that this process has for runs on one device."""
    return joined(backend, device, ONE)[0]


def start(prepared: Prepared, trainer: SparseTrainer[Any], ticket: Beginning | None = None) -> Run:
    """A run before its first iteration.

    Raises:
        UserError: the backend cannot run this.
    """
    task, method, seed = prepared.task, prepared.method, prepared.config.seed
    if reason := trainer.supports(task, method):
        raise UserError(f"backend {prepared.backend.name!r} cannot run {method.name!r} here: {reason}")
    first = ticket or fresh(prepared)
    weights, masks = first.weights, first.masks
    active = {layer.name: layer.size for layer in task.prunable}
    active |= {name: int(mask.sum()) for name, mask in masks.items()}
    state, account = trainer.init(task, weights, masks), Ledger(task.layers, task.recipe.batch_size)
    current = Run(prepared, trainer, state, task.feed(seed), account, active, first.sparsities, first.start)
    current.explored.see(masks)
    if method.updates:
        current.notes = Notes(task.prunable, masks, due(prepared, first.start))
        current.notes.take(first.start, masks)
    return current


def due(prepared: Prepared, start: int) -> frozenset[int]:
    """After how many iterations masks are noted: some of the run's updates."""
    ends = [leg.done for leg in legs(prepared, start) if leg.event]
    return frozenset(ends[k] for k in noted(len(ends)))


def legs(prepared: Prepared, start: int = 0) -> Iterator[Leg]:
    """The timetable of a run whose first `start` iterations are its source's."""
    steps, rewind = prepared.task.steps, prepared.config.rewind
    events, evaluations = prepared.method.events(steps), prepared.task.recipe.evaluations
    return timeline(steps, events, evaluations, start, [rewind] if rewind else [])


def _ended(current: Run, progress: Progress, keeper: Keeper) -> Metrics | Divergence:
    try:
        return _loop(current, progress, keeper)
    except DivergedError as diverged:
        return diverged.divergence


def _loop(current: Run, progress: Progress, keeper: Keeper) -> Metrics:
    """All legs of the run; returns the last evaluation, which is that of the last iteration."""
    steps, rewind = current.prepared.task.steps, current.prepared.config.rewind
    metrics = Metrics(math.nan, math.nan)  # every timeline ends with an evaluation
    for leg in legs(current.prepared, current.start):
        if leg.start < leg.stop:
            current.train(leg.start, leg.stop)
        if leg.event:
            current.update(leg.event)
            current.note(leg.done)
        if leg.done == rewind:
            current.rewind = current.trainer.weights(current.state)
        if leg.evaluated:
            metrics = current.evaluate(leg.done)
        progress(leg.done, steps)
        if leg.done < steps:
            keeper.visit(current, leg.done)
    return metrics
