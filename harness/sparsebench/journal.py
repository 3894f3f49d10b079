"""What happened in a run, in order, and how long each kind of work took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

KINDS = ("train", "update", "evaluate")


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

    def steps_per_second(self) -> float:
        """Iterations per second of training and updating, without the first of each kind, which compiles."""
        train, update = self._of("train"), self._of("update")
        warm = [*(train[1:] or train), *update[1:]]
        steps = sum(
            event["stop"] - event["start"] if event["kind"] == "train" else event["replaces_step"] for event in warm
        )
        return steps / sum(event["seconds"] for event in warm)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]
