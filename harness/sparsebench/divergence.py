"""A run that a loss, an accuracy or a score ended because it was not finite: recorded as *diverged*, ranked nowhere.

A run is a pure function of its settings and would diverge at the same iteration again, so its record is complete, and
nothing is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

DIVERGED, COMPLETE = "diverged", "complete"
"""The `status` of a result, and under the first also what follows here; the first is a kind of event, too."""

During = Literal["train", "update", "evaluate"]
NAMES: Mapping[During, str] = {"train": "training", "update": "update's", "evaluate": "test"}

VALUES = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Divergence:
    """When a run diverged, and what was not finite.

    `iteration` is that of the batch whose loss it was, or of the mask update, both from 0; of an evaluation, the number
    of iterations done. `what` is `loss`, `accuracy`, or a score by its role (`drop score`); `value` is `nan`, `inf` or
    `-inf`, and for a score, of which many values may be at fault, None, where `layer` says whose it was.
    """

    iteration: int
    during: During
    what: str
    value: str | None = None
    layer: str | None = None

    def __str__(self) -> str:
        """`diverged at iteration 20: the training loss is nan`."""
        if self.layer is not None:
            return f"diverged at iteration {self.iteration}: the {self.what} of layer {self.layer!r} is not finite"
        return f"diverged at iteration {self.iteration}: the {NAMES[self.during]} {self.what} is {self.value}"

    @property
    def brief(self) -> str:
        """`at iteration 20 (training loss nan)`."""
        how = f"{NAMES[self.during]} {self.what} {self.value}" if self.layer is None else f"{self.what}, {self.layer!r}"
        return f"at iteration {self.iteration} ({how})"


class DivergedError(Exception):
    """Ends the loop of a run, whose journal tells of it already."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


def bad(value: float | None) -> str | None:
    """`nan`, `inf` or `-inf`; None for a finite number, and for none."""
    return None if value is None or math.isfinite(value) else str(float(value))


def of(result: Mapping[str, Any]) -> Divergence | None:
    """What a `result.json` says of it; None for a run that reached its end.

    Raises:
        KeyError, TypeError, ValueError: it says something else.
    """
    status = result.get("status", COMPLETE)
    if status == COMPLETE:
        return None
    if status != DIVERGED:
        raise ValueError(f"result.json has status {status!r}: this version reads {COMPLETE!r} and {DIVERGED!r}")
    told = {field.name: result["diverged"][field.name] for field in fields(Divergence)}
    sound = (
        type(told["iteration"]) is int, told["during"] in NAMES, str(told["what"]).isprintable(),
        told["value"] in (None, *VALUES), told["layer"] is None or isinstance(told["layer"], str),
    )  # fmt: skip
    if not all(sound):
        raise ValueError(f"result.json tells of its divergence as {told!r}")
    return Divergence(**told)
