"""Where two records first differ: settings, versions, layers, metrics, masks, weights; causes before effects.

Times are not compared: no two runs have the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench.records import Record
from sparsebench.settings import flat
from sparsebench_board.labels import plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES = frozenset({"started", "finished", "seconds", "steps_per_second"})
ABSENT = "–"
FEW = 12
"""Lines of a part, at most."""


@dataclass(frozen=True)
class Part:
    """A part of two records, and what differs in it, in lines of plain text; nothing where they are equal."""

    name: str
    differences: tuple[str, ...]


def compared(first: Record, second: Record) -> list[Part]:
    """Every part of two records.

    Raises:
        UserError: a file of either cannot be read.
    """
    found = {
        "settings": _fields(_settings(first), _settings(second)),
        "versions": _fields(first.environment, second.environment),
        "layers": _layers(first.layers, second.layers),
        "events": _events(first.events(), second.events()),
        "result": _fields(first.result, second.result),
        "masks": _arrays(first.masks(), second.masks()),
        "weights": _arrays(first.weights(), second.weights()),
    }
    return [Part(name, tuple(map(plain, _few(differences)))) for name, differences in found.items()]


def _few(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - FEW
    return [*lines[:FEW], *([f"and {rest} more"] if rest > 0 else [])]


def _settings(record: Record) -> dict[str, Any]:
    """All that the id hashes, numerics and data included."""
    shared = {name: value for name, value in record.identity.items() if name not in ("id", "config")}
    return record.config.model_dump(mode="json") | shared


def _fields(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """`name: ours | theirs` for each that differs, times aside."""
    ours, theirs = dict(flat(first, TIMES)), dict(flat(second, TIMES))
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        f"{name}: {ours.get(name, ABSENT)} | {theirs.get(name, ABSENT)}"
        for name in names
        if (name in ours, ours.get(name)) != (name in theirs, theirs.get(name))
    ]


def _layers(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first layer that differs, and how many there are."""
    for place, (ours, theirs) in enumerate(zip_longest(first, second, fillvalue={})):
        if differing := _fields(ours, theirs):
            return [
                f"layer {place} ({ours.get('name', ABSENT)} | {theirs.get('name', ABSENT)}): {'; '.join(differing)}"
            ]
    return []


def _events(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first event that differs, with what differs in it."""
    for place, (ours, theirs) in enumerate(zip_longest(first, second, fillvalue={})):
        if differing := _fields(ours, theirs):
            return [f"event {place + 1} ({_event(ours)} | {_event(theirs)}): {'; '.join(differing)}"]
    return []


def _event(event: Mapping[str, Any]) -> str:
    """`update at 100`, `train at 200`, where a segment ends."""
    return f"{event.get('kind')} at {event.get('iteration', event.get('stop'))}" if event else ABSENT


def _arrays(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> list[str]:
    """The first array that differs, with how many of its entries do and by how much, and how many arrays differ."""
    names = [*first, *(name for name in second if name not in first)]
    told = {name: _array(first.get(name), second.get(name)) for name in names}
    differing = [f"{name}: {difference}" for name, difference in told.items() if difference]
    if not differing:
        return []
    return [differing[0], *([f"{len(differing)} of {len(names)} differ"] if len(names) > 1 else [])]


def _array(ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> str:
    """What sets two arrays apart; nothing where they are equal to the bit but for the sign of zero."""
    if ours is None or theirs is None:
        return f"only the {'second' if ours is None else 'first'} has it"
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        return f"{ours.dtype} {ours.shape} | {theirs.dtype} {theirs.shape}"
    apart = ~np.isclose(ours, theirs, rtol=0, atol=0, equal_nan=True)
    if not apart.any():
        return ""
    count = f"{apart.sum():,} of {ours.size:,} differ"
    if ours.dtype == np.bool_:
        return count
    with np.errstate(invalid="ignore"):  # inf less inf, in runs that diverged
        largest = np.abs(ours[apart].astype(np.float64) - theirs[apart].astype(np.float64)).max()
    return f"{count}, by {largest:.3g} at most" if np.isfinite(largest) else f"{count}, some not finite"
