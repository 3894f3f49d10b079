"""Whether a checkpoint from elsewhere is one that a run of its settings can have: what it says is derived again.

Its digests only say that nobody damaged it. What follows from the settings is held against them: which segments,
updates and evaluations are over, how many connections each layer had, its masks, FLOPs, notes, and every shape. Losses,
accuracies, times and the values of weights are believed: nothing but training again could tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsebench import explored, movement, states
from sparsebench.checkpoints import Checkpoint
from sparsebench.ledger import Ledger
from sparsebench.masks import budget, planned
from sparsebench.method import Method, each_layer
from sparsebench.movement import noted
from sparsebench.snapshots import MASK, check_portable, under
from sparsebench.timeline import Leg, timeline
from sparsebench.trainer import Task

Json = Mapping[str, Any]
Active = dict[str, int]


class InconsistentError(ValueError):
    """No run of these settings has such a checkpoint; says what is wrong with it."""


@dataclass(frozen=True)
class Expected:
    """What the settings say: `first` and `last` are the plans of the first and the last masks."""

    task: Task
    method: Method
    first: Mapping[str, float]
    last: Mapping[str, float]
    rewind: int
    ticket: bool


def check(found: Checkpoint, expected: Expected) -> None:
    """Hold a checkpoint against its settings.

    Raises:
        InconsistentError, UserError: it is not one of a run with these.
        KeyError: it lacks something.
    """
    task = expected.task
    if not 0 < found.done < task.steps:
        raise InconsistentError(f"{found.done:,} iterations are done of {task.steps:,}")
    check_portable(found.state, states.parameters(task.model, task.input), task.prunable)
    start = int(found.events[0].get("start", 0)) if expected.ticket and found.events else 0
    legs = list(_legs(expected, start))
    _check_events(found, [leg for leg in legs if leg.done <= found.done])
    _check_account(found, expected)
    _check_masks(found, expected)
    _check_notes(found, expected, start, [leg.done for leg in legs if leg.event])
    _check_rewind(found, expected, start)


def _legs(expected: Expected, start: int) -> Iterator[Leg]:
    task, stops = expected.task, [expected.rewind] if expected.rewind else []
    return timeline(task.steps, expected.method.events(task.steps), task.recipe.evaluations, start, stops)


def _check_events(found: Checkpoint, legs: Sequence[Leg]) -> None:
    """Exactly those of the timetable until then, with numbers that a run can go on from."""
    wanted = [event for leg in legs for event in _events_of(leg)]
    if not legs or legs[-1].done != found.done or len(wanted) != len(found.events):
        raise InconsistentError(f"its events are not those of {found.done:,} iterations")
    for event, facts in zip(found.events, wanted, strict=True):
        told = {name: event[name] for name in facts}
        if told != facts:
            raise InconsistentError(f"its events have {told} where the timetable has {facts}")
        numbers = [event.get(name) for name in ("loss", "accuracy")]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise InconsistentError("a run ends where a loss is not finite, and this one goes on")


def _events_of(leg: Leg) -> Iterator[Json]:
    if leg.start < leg.stop:
        yield {"kind": "train", "start": leg.start, "stop": leg.stop}
    if event := leg.event:
        facts = {"replaces_step": event.replaces_step, "drop_fraction": event.drop_fraction}
        yield {"kind": "update", "iteration": event.iteration, **facts}
    if leg.evaluated:
        yield {"kind": "evaluate", "iteration": leg.done, "split": "test"}


def _check_account(found: Checkpoint, expected: Expected) -> None:
    """Active connections after every update are the plan's, and the FLOPs follow from them."""
    task, method = expected.task, expected.method
    active, due = _first(found, expected), {event.iteration: event for event in method.events(task.steps)}
    ledger = Ledger(task.layers, task.recipe.batch_size)
    for event in found.events:
        if event["kind"] == "train":
            enter = ledger.observed_steps if method.observe else ledger.steps
            enter(event["stop"] - event["start"], active)
        elif event["kind"] == "update":
            ledger.update(method, active)
            plan = budget(method, task.prunable, expected.last, active, due[event["iteration"]], expected.first)
            after = _changed(active, event)
            together = bool(method.redistribute) or method.rank is not each_layer
            _agree(after, {name: counts.kept + counts.grown for name, counts in plan.items()}, together)
            active = after
    _agree(found.active, active, together=False)
    if not _same_account(found.executed, ledger.executed):
        raise InconsistentError("its FLOPs are not those of its events")


def _first(found: Checkpoint, expected: Expected) -> Active:
    """The active connections that it began with; a ticket's are the plan's in sum."""
    update = next((event for event in found.events if event["kind"] == "update"), None)
    changes: Mapping[str, Mapping[str, int]] = update["layers"] if update else {}
    first = {name: change["active"] - change["grown"] + change["dropped"] for name, change in changes.items()}
    first = first or dict(found.active)
    layers, method = expected.task.prunable, expected.method
    wanted = {layer.name: planned(method, layer, expected.first[layer.name]) for layer in layers}
    if method.dense:
        wanted = {layer.name: layer.size for layer in layers}
    _agree(first, wanted, together=expected.ticket)
    return first


def _changed(before: Active, event: Json) -> Active:
    changes = event["layers"]
    after = {name: change["active"] for name, change in changes.items()}
    kept = {name: change["active"] - change["grown"] + change["dropped"] for name, change in changes.items()}
    _agree(kept, before, together=False)
    return after


def _agree(found: Mapping[str, int], wanted: Mapping[str, int], together: bool) -> None:
    if found.keys() != wanted.keys():
        raise InconsistentError("its layers are not those of the network")
    total, planned_total = sum(found.values()), sum(wanted.values())
    if together and total != planned_total:
        raise InconsistentError(f"{total:,} connections are active, the plan has {planned_total:,}")
    for name, count in found.items():
        if not together and count != wanted[name]:
            raise InconsistentError(f"{name} has {count:,} active connections, the plan has {wanted[name]:,}")


def _same_account(found: Mapping[str, Mapping[str, float]], wanted: Mapping[str, Mapping[str, float]]) -> bool:
    """What nobody counts is equal to itself."""
    return {name: _counts(row) for name, row in found.items()} == {name: _counts(row) for name, row in wanted.items()}


def _counts(row: Mapping[str, float]) -> dict[str, float | None]:
    return {kind: None if math.isnan(count) else count for kind, count in row.items()}


def _check_masks(found: Checkpoint, expected: Expected) -> None:
    masks, layers = under(MASK, found.state), expected.task.prunable
    if not expected.method.dense and masks.keys() != {layer.name for layer in layers}:
        raise InconsistentError("its masks are not those of the network's layers")
    for layer in layers:
        mask = masks.get(layer.name)
        count = layer.size if mask is None else int(np.count_nonzero(mask))
        if mask is not None and mask.dtype != np.bool_:
            raise InconsistentError(f"the mask of {layer.name} is {mask.dtype}, not bool")
        if count != found.active[layer.name]:
            raise InconsistentError(
                f"the mask of {layer.name} has {count:,} connections, its count is {found.active[layer.name]:,}"
            )


def _check_notes(found: Checkpoint, expected: Expected, start: int, ends: Sequence[int]) -> None:
    layers, notes = expected.task.prunable, found.notes
    masks = under(MASK, found.state)
    if {*under(explored.PREFIX, notes)} != {*masks}:
        raise InconsistentError("what it says was ever active is not of its masks")
    for name, mask in masks.items():
        bits = notes[explored.PREFIX + name]
        now = np.packbits(mask)
        if bits.dtype != now.dtype or bits.shape != now.shape or np.any(now & ~bits):
            raise InconsistentError(f"connections of {name} are active that it says never were")
    if expected.method.updates:
        names, sizes = tuple(layer.name for layer in layers), tuple(layer.size for layer in layers)
        movement.check(notes, names, sizes)
        due = {start, *(done for k in noted(len(ends)) if (done := ends[k]) <= found.done)}
        if notes["iterations"].tolist() != sorted(due):
            raise InconsistentError("it has notes of its masks at other iterations than a run takes them")


def _check_rewind(found: Checkpoint, expected: Expected, start: int) -> None:
    task = expected.task
    if (found.rewind is not None) != (start < expected.rewind <= found.done):
        raise InconsistentError(f"weights to rewind to are kept after {expected.rewind:,} iterations")
    if found.rewind is not None:
        known = states.statistics(task.model, task.input, found.rewind)
        states.check(found.rewind, states.parameters(task.model, task.input), known)
