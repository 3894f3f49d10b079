"""Options about the length of a run and its updates, in steps at 1x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from sparsebench.errors import UserError
from sparsebench.formulas import Timing

USED = {"rigl": ("delta_t",), "pruning": ("begin", "end", "every")}
"""What a method's formula depends on, beside the number of steps."""

PAPER = Timing()


@dataclass(frozen=True)
class Schedule:
    """What is not given is the paper's own, where a formula needs it."""

    batch: Annotated[int | None, Parameter(help="samples a step; with --steps, totals are printed too")] = None
    steps: Annotated[int | None, Parameter(help=f"length at 1x (pruning: {PAPER.steps:,})")] = None
    delta_t: Annotated[int | None, Parameter(help=f"rigl: steps between mask updates ({PAPER.delta_t})")] = None
    begin: Annotated[int | None, Parameter(help=f"pruning: first step ({PAPER.begin:,})")] = None
    end: Annotated[int | None, Parameter(help=f"pruning: last step ({PAPER.end:,})")] = None
    every: Annotated[int | None, Parameter(help=f"pruning: steps from one to the next ({PAPER.every:,})")] = None

    def samples(self) -> int | None:
        """Training samples at 1x, if the options say how many."""
        return self.batch * self.steps if self.batch and self.steps else None


def timing(schedule: Schedule, method: str) -> Timing:
    """What the method's formula depends on.

    Raises:
        UserError: an option does not belong to the method, or the schedule makes no sense.
    """
    given = {name: value for name, value in vars(schedule).items() if value is not None}
    for name, value in given.items():
        _check(name, value, method)
    if ("batch" in given) != ("steps" in given) and not (method == "pruning" and "steps" in given):
        raise UserError("--batch and --steps go together: totals need both")
    found = Timing(**{name: value for name, value in given.items() if name != "batch"})
    if method == "pruning":
        _check_pruning(found)
    return found


def _check(name: str, value: int, method: str) -> None:
    option = "--" + name.replace("_", "-")
    if name not in ("batch", "steps", *USED.get(method, ())):
        users = ", ".join(user for user, names in USED.items() if name in names)
        raise UserError(f"{option} has no meaning for method {method!r}: it is for {users}; leave it out")
    if value < (0 if name == "begin" else 1):
        raise UserError(f"{option} {value}: should be at least {0 if name == 'begin' else 1}")


def _check_pruning(found: Timing) -> None:
    if found.begin >= found.end:
        raise UserError(f"pruning from --begin {found.begin} to --end {found.end}: begin must be below end")
    if found.end > found.steps:
        raise UserError(
            f"pruning ends at --end {found.end}, after training (--steps {found.steps}): lower end or train longer"
        )
    if found.every > found.steps:
        raise UserError(f"--every {found.every} is longer than training (--steps {found.steps}): lower it")
