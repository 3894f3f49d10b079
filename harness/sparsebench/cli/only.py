"""A part of a suite: `--only method=rigl,sparsity=0.9`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sparsebench.asked import Asked
from sparsebench.config import RunConfig
from sparsebench.errors import UserError, unknown

Item = TypeVar("Item")
AXES = ("model", "dataset", "method", "sparsity", "distribution", "multiplier", "backend", "seed")


def only(runs: Sequence[Asked], wanted: str) -> list[Asked]:
    """The runs that match `wanted`.

    Raises:
        UserError: as `matching` does, and if there are none.
    """
    matches = matching([run.config for run in runs], wanted)
    return chosen([run for run in runs if matches(run.config)], wanted)


def chosen(found: list[Item], wanted: str) -> list[Item]:
    """What matched.

    Raises:
        UserError: nothing did.
    """
    if not found:
        raise UserError(f"--only {wanted!r}: each of its values occurs, but in no run together; leave one of them out")
    return found


def matching(runs: Sequence[RunConfig], wanted: str) -> Callable[[RunConfig], bool]:
    """Which of some runs are `wanted`; an axis given twice allows both values.

    Raises:
        UserError: it is not made of pairs, an axis does not exist, or no run has such a value.
    """
    chosen: dict[str, set[str]] = {}
    for pair in wanted.split(","):
        axis, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise UserError(f"--only {wanted!r}: give pairs such as method=rigl,sparsity=0.9; axes: {', '.join(AXES)}")
        if axis not in AXES:
            raise unknown("axis in --only", axis, AXES)
        chosen.setdefault(axis, set()).add(_checked(runs, axis, value))
    return lambda run: all(_text(run, axis) in values for axis, values in chosen.items())


def _checked(runs: Sequence[RunConfig], axis: str, value: str) -> str:
    allowed = {_text(run, axis) for run in runs}
    if value not in allowed:
        raise unknown(f"{axis} in --only", value, allowed)
    return value


def _text(run: RunConfig, axis: str) -> str:
    value = getattr(run, axis)
    return f"{value:g}" if isinstance(value, float) else str(value)
