"""Options about the length of a run and its updates, in steps at 1x."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from cyclopts import Parameter

from sparsebench.cli.options import whole
from sparsebench.errors import UserError
from sparsebench.formulas import TIMINGS, Timing

PRUNES, TURNS = ("begin", "end", "every"), ("begin", "end", "delta_t")
USED = {
    **dict.fromkeys(("rigl", "rigl-2-4", "srigl", "srigl-unablated", "rigl-itop"), ("delta_t",)),
    **dict.fromkeys(("pruning", "pruning-global"), PRUNES),
    **dict.fromkeys(("granet", "granet-global", "acdc", "acdc-global"), TURNS),
}
"""What a method's formula depends on, beside the number of steps."""

PAPER = Timing()


@dataclass(frozen=True)
class Schedule:
    """What is not given is the paper's own, where a formula needs it."""

    batch: Annotated[
        int | None, Parameter(help="samples a step; with --steps, totals are printed too", converter=whole)
    ] = None
    steps: Annotated[int | None, Parameter(help=f"length at 1x (pruning: {PAPER.steps:,})", converter=whole)] = None
    delta_t: Annotated[
        int | None, Parameter(help=f"steps between mask updates (rigl: {PAPER.delta_t})", converter=whole)
    ] = None
    begin: Annotated[int | None, Parameter(help=f"first step of pruning ({PAPER.begin:,})", converter=whole)] = None
    end: Annotated[int | None, Parameter(help=f"last step of pruning ({PAPER.end:,})", converter=whole)] = None
    every: Annotated[
        int | None, Parameter(help=f"pruning: steps from one to the next ({PAPER.every:,})", converter=whole)
    ] = None

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
    scheduled = "begin" in USED.get(method, ())
    if ("batch" in given) != ("steps" in given) and not (scheduled and "steps" in given):
        raise UserError("--batch and --steps go together: totals need both")
    own = {name: value for name, value in given.items() if name != "batch"}
    found = replace(TIMINGS.get(method, PAPER), **own)
    if scheduled:
        _check_pruning(method, found)
    return found


def _check(name: str, value: int, method: str) -> None:
    option = "--" + name.replace("_", "-")
    if name not in ("batch", "steps", *USED.get(method, ())):
        users = ", ".join(user for user, names in USED.items() if name in names)
        raise UserError(f"{option} has no meaning for method {method!r}: it is for {users}; leave it out")
    if value < (0 if name == "begin" else 1):
        raise UserError(f"{option} {value}: should be at least {0 if name == 'begin' else 1}")


def _check_pruning(method: str, found: Timing) -> None:
    if found.begin >= found.end:
        raise UserError(f"{method} from --begin {found.begin} to --end {found.end}: begin must be below end")
    if found.end > found.steps:
        raise UserError(
            f"{method} ends at --end {found.end}, after training (--steps {found.steps}): lower end or train longer"
        )
    name = "every" if "every" in USED[method] else "delta_t"
    if getattr(found, name) > found.steps:
        option = "--" + name.replace("_", "-")
        raise UserError(f"{option} {getattr(found, name)} is longer than training (--steps {found.steps}): lower it")
