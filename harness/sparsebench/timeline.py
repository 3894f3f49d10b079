"""A run's timetable: segments of plain steps, cut where something else is due. A pure function of length and events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sparsebench.method import Event

EVALUATIONS = 10
"""On the way and at the end; the accuracy that counts is the one at the last iteration."""
REPORTS = 50
"""Segments are short enough to tell about as often how far a run has come."""


@dataclass(frozen=True)
class Leg:
    """Iterations start … stop − 1 are trained; then comes the event, if any, and an evaluation if `evaluated`.

    `done` iterations are over after it: those trained, and the event's own if it replaces a step.
    """

    start: int
    stop: int
    event: Event | None
    done: int
    evaluated: bool


def timeline(steps: int, events: Sequence[Event]) -> Iterator[Leg]:
    """Every iteration of a run once, in order, in legs that end at events, evaluations and reports."""
    due = {event.iteration: event for event in events}
    evaluations, stride = marks(steps), max(1, steps // REPORTS)
    start = 0
    for done in sorted(evaluations | {*range(stride, steps, stride), steps} | {i + 1 for i in due}):
        event = due.get(done - 1)
        yield Leg(start, done - bool(event and event.replaces_step), event, done, done in evaluations)
        start = done


def marks(steps: int) -> set[int]:
    """After how many iterations the test split is evaluated: every tenth of the run, the end included."""
    return {max(1, round(steps * k / EVALUATIONS)) for k in range(1, EVALUATIONS + 1)}
