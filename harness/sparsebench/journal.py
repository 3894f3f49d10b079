"""What happened in a run, in order, and how long each kind of work took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 1e-6  # seconds are kept to the microsecond
UNDISTURBED = 0.1
KINDS = ("train", "update", "evaluate")
"""Of events; one of another kind, `diverged`, stands for the one of these that was to be, and says which it is."""


@dataclass
class Journal:
    """Grows as the run goes; its events are the record's `events.jsonl`."""

    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def enter(self, kind: str, began: float, **facts: Any) -> None:
        """Add one event that began at `began` (time.perf_counter) and has just ended."""
        self.events.append({"kind": kind, **facts, "seconds": round(time.perf_counter() - began, 6)})

    def seconds(self) -> dict[str, float]:
        """Seconds spent on each kind of work, compilation included."""
        return {kind: round(sum(e["seconds"] for e in self._of(kind)), 6) for kind in KINDS}

    def steps_per_second(self) -> float | None:
        """Iterations per second if all steps and all updates were as fast as the fastest tenth of each.

        Those are the ones that no other process disturbed: on a shared machine they agree within a tenth from run to
        run where means differ threefold. What comes first compiles and is left out, and so is evaluation.
        None: not a step was taken.
        """
        train, update = self._of("train"), self._of("update")
        if not train:
            return None
        lengths = [event["stop"] - event["start"] for event in train]
        paces = [event["seconds"] / length for event, length in zip(train, lengths, strict=True)]
        step = _undisturbed(np.repeat(paces[1:] or paces, lengths[1:] or lengths))
        change = _undisturbed([event["seconds"] for event in update[1:] or update])
        steps = sum(lengths) + sum(event["replaces_step"] for event in update)
        return steps / max(RESOLUTION, sum(lengths) * step + len(update) * change)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if kind in (event["kind"], event.get("during"))]


def _undisturbed(seconds: Sequence[float] | NDArray[np.float64]) -> float:
    """The first decile; 0 where there is nothing."""
    return float(np.quantile(seconds, UNDISTURBED)) if len(seconds) else 0.0
