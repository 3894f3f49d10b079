"""A run's timetable: segments of plain steps, cut where something else is due. A pure function of length and events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sparsebench.method import Event

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


def timeline(
    steps: int, events: Sequence[Event], evaluations: int, start: int = 0, stops: Iterable[int] = ()
) -> Iterator[Leg]:
    """Every iteration from `start` once, in order, in legs that end at events, evaluations, reports and `stops`."""
    due = {event.iteration: event for event in events if event.iteration >= start}
    evaluated, stride = marks(steps, evaluations), max(1, steps // REPORTS)
    ends = evaluated | {*range(stride, steps, stride), steps, *stops} | {i + 1 for i in due}
    for done in sorted(end for end in ends if end > start):
        event = due.get(done - 1)
        yield Leg(start, done - bool(event and event.replaces_step), event, done, done in evaluated)
        start = done


def marks(steps: int, evaluations: int) -> set[int]:
    """After how many iterations the test split is evaluated, evenly spread: the end included, whose accuracy counts."""
    if evaluations >= steps:
        return set(range(1, steps + 1))
    return {max(1, round(steps * k / evaluations)) for k in range(1, evaluations + 1)}
