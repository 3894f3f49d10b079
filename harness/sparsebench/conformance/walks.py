"""A run step by step, as the harness would make it, with a look at everything after each iteration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance import plans
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Method
from sparsebench.models import Arrays, initial_weights
from sparsebench.trainer import Report, SparseTrainer, Task

Trainer = SparseTrainer[Any]


def hurried(method: Method, alpha: float) -> Method:
    """The method with a clock that fits a run of a few steps."""
    return replace(method, delta_t=3, begin=0.2, end=0.9, alpha=alpha)


def begin(trainer: Trainer, task: Task, method: Method, sparsity: float, seed: int = 0) -> Any:
    """A state at iteration 0, every layer at the same sparsity."""
    weights = initial_weights(task.model, task.input, seed)
    return trainer.init(task, weights, plans.first_masks(method, task.prunable, sparsity, weights, seed))


def planned(task: Task, method: Method, masks: Masks, event: Event, sparsity: float) -> dict[str, Counts]:
    """The counts that the harness would give for one event."""
    now = {name: int(mask.sum()) for name, mask in masks.items()}
    return plans.counts(method, [layer for layer in task.prunable if layer.name in now], sparsity, now, event)


def update(
    trainer: Trainer, task: Task, state: Any, method: Method, event: Event, sparsity: float, seed: int = 0
) -> tuple[Any, Report]:
    """One event, with the counts that the harness would give."""
    counts = planned(task, method, trainer.masks(state), event, sparsity)
    return trainer.update(state, method, event, counts, task.feed(seed))


@dataclass(frozen=True, eq=False)
class Move:
    """An optimizer's step, or a mask update with what it was asked for and what it reports."""

    iteration: int
    loss: float | None
    event: Event | None = None
    budget: Mapping[str, Counts] = field(default_factory=dict[str, Counts])
    report: Report | None = None


def moves(
    trainer: Trainer, task: Task, method: Method, sparsity: float, seed: int = 0, state: Any = None, start: int = 0
) -> Iterator[tuple[Move, Any]]:
    """(move, state after it), from iteration `start` to the last; a state must be read before the next."""
    state = begin(trainer, task, method, sparsity, seed) if state is None else state
    due = {event.iteration: event for event in method.events(task.steps)}
    for i in range(start, task.steps):
        for move, after in _iteration(trainer, task, method, sparsity, seed, state, i, due.get(i)):
            yield move, (state := after)


def _iteration(
    trainer: Trainer, task: Task, method: Method, sparsity: float, seed: int, state: Any, i: int, event: Event | None
) -> Iterator[tuple[Move, Any]]:
    """The step of iteration i, if it takes one, then its mask update, if it has one."""
    feed = task.feed(seed)
    if event is None or not event.replaces_step:
        state, tally = trainer.train(state, method, feed, i, i + 1)
        yield Move(i, float(tally.losses[0])), state
    if event:
        counts = planned(task, method, trainer.masks(state), event, sparsity)
        state, report = trainer.update(state, method, event, counts, feed)
        yield Move(i, report.loss, event, counts, report), state


def walk(
    trainer: Trainer, task: Task, method: Method, sparsity: float, seed: int = 0, state: Any = None, start: int = 0
) -> Iterator[tuple[Event | None, float | None, Any]]:
    """(event or None, loss, state) after every iteration from `start`; a state must be read before the next."""
    state = begin(trainer, task, method, sparsity, seed) if state is None else state
    due = {event.iteration: event for event in method.events(task.steps)}
    for i in range(start, task.steps):
        made = list(_iteration(trainer, task, method, sparsity, seed, state, i, due.get(i)))
        (first, _), (_, state) = made[0], made[-1]
        yield due.get(i), first.loss, state


def bits(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Named arrays in a form where equal means equal to the bit."""
    return {
        name: (str(array.dtype), array.shape, np.ascontiguousarray(array).tobytes()) for name, array in arrays.items()
    }


# ---- what was seen on the way -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Frame:
    """What can be seen of a state from outside."""

    weights: Arrays
    masks: Masks

    def active(self) -> dict[str, int]:
        """Entries of each mask."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}


@dataclass(frozen=True, eq=False)
class Transcript:
    """A whole run from outside: what there was at first, and each move with what it left."""

    task: Task
    method: Method
    sparsity: float
    seed: int
    first: Frame
    moves: tuple[tuple[Move, Frame], ...]

    def pairs(self) -> Iterator[tuple[Frame, Move, Frame]]:
        """(before, move, after) of all moves."""
        before = self.first
        for move, after in self.moves:
            yield before, move, after
            before = after

    def updates(self) -> Iterator[tuple[Frame, Move, Frame]]:
        """The same of mask updates alone."""
        return ((before, move, after) for before, move, after in self.pairs() if move.event)


def seen(trainer: Trainer, state: Any) -> Frame:
    """What can be seen of a state now."""
    return Frame(trainer.weights(state), trainer.masks(state))


def transcribe(trainer: Trainer, task: Task, method: Method, sparsity: float, seed: int) -> Transcript:
    """A run from its first mask to its last step."""
    state = begin(trainer, task, method, sparsity, seed)
    first = seen(trainer, state)
    made = tuple((move, seen(trainer, after)) for move, after in moves(trainer, task, method, sparsity, seed, state))
    return Transcript(task, method, sparsity, seed, first, made)
