"""A check against a plugin: cases drawn by Hypothesis, the smallest failing one found and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sparsebench.conformance.check import Case, Check, Place
from sparsebench.errors import NonFiniteScoreError, UserError

SHRINKS = 60
"""Cases that are tried, at most, to make a failing one smaller: training takes its time."""


class MissingError(UserError):
    """Hypothesis is not installed."""


class Status(Enum):
    """How a check ended."""

    HELD = "held"
    BROKEN = "broken"
    IDLE = "not applicable"
    UNCLAIMED = "not claimed"
    REFUSED = "every case refused"
    EXPECTED = "broken, as expected"
    UNEXPECTED = "held, though expected to be broken"


@dataclass(frozen=True)
class Outcome:
    """What a check found: in how many cases the law held, why it was not tried, or the smallest case that breaks it
    (None: it broke before one was drawn).

    `refusals` are the reasons of cases that the plugin refused, `expected` is why it is expected to fail.
    """

    check: Check
    on: str
    status: Status
    cases: int = 0
    reason: str = ""
    example: Case = None
    refusals: tuple[str, ...] = ()
    expected: str = ""

    @property
    def failed(self) -> bool:
        """Whether the plugin must be mended, or what is expected of it."""
        return self.status in (Status.BROKEN, Status.UNEXPECTED)


def examine(check: Check, place: Place, cases: int, seed: int) -> Outcome:
    """Try a check on `cases` drawn cases, after those that are tried always.

    Raises:
        UserError: Hypothesis is not installed.
    """
    search = _Search(check, place, 2 * cases + SHRINKS)
    try:
        if reason := check.idle(place):
            return Outcome(check, place.name, Status.IDLE, reason=reason)
        _drive(search, cases, seed)
    except MissingError:
        raise
    except Exception as error:  # the plugin's own, in a case or before any was drawn
        return Outcome(check, place.name, Status.BROKEN, search.held, told(error), search.failing, search.refusals)
    if search.held:
        return Outcome(check, place.name, Status.HELD, search.held, refusals=search.refusals)
    reason = next(iter(search.refusals), "no case was drawn")
    return Outcome(check, place.name, Status.REFUSED, reason=reason, refusals=search.refusals)


def _drive(search: _Search, cases: int, seed: int) -> None:
    try:
        import hypothesis
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis.errors import Unsatisfiable
    except ImportError as error:
        raise MissingError("checks need hypothesis, not installed here: pip install 'sparsebench[check]'") from error

    def attempt(case: Case) -> None:
        if not search.attempt(case):
            hypothesis.reject()

    test: Any = given(search.check.cases(search.place))(attempt)
    for case in reversed(search.check.first(search.place)):  # the last that is added is the first that is tried
        test = hypothesis.example(case)(test)
    complaints: Any = list(HealthCheck)
    unhurried = settings(
        max_examples=cases, database=None, deadline=None, report_multiple_bugs=False, print_blob=False,
        phases=(Phase.explicit, Phase.generate, Phase.shrink), suppress_health_check=complaints,
    )  # fmt: skip
    try:
        hypothesis.seed(seed)(unhurried(test))()
    except Unsatisfiable:
        return


@dataclass
class _Search:
    """The cases of one check so far; what is known of one is not tried again."""

    check: Check
    place: Place
    most: int
    held: int = 0
    known: dict[Case, Exception | str | None] = field(default_factory=dict[Case, Exception | str | None])
    failing: Case = None

    def attempt(self, case: Case) -> bool:
        """Whether the law was put to the test; raises where it is broken."""
        if case not in self.known:
            if self.shrinks > SHRINKS or len(self.known) >= self.most:
                return False
            self.known[case] = self._found(case)
            self.held += self.known[case] is None
        found = self.known[case]
        if isinstance(found, Exception):
            self.failing = case
            raise found
        return found is None

    @property
    def refusals(self) -> tuple[str, ...]:
        """Each reason once."""
        return tuple(dict.fromkeys(found for found in self.known.values() if isinstance(found, str)))

    @property
    def shrinks(self) -> int:
        """Cases tried since the first that failed."""
        outcomes = [isinstance(found, Exception) for found in self.known.values()]
        return len(outcomes) - outcomes.index(True) if True in outcomes else 0

    def _found(self, case: Case) -> Exception | str | None:
        try:
            self.check.holds(self.place, case)
        except NonFiniteScoreError as error:
            return error
        except UserError as refusal:
            return str(refusal)
        except Exception as error:
            return error
        return None


def told(error: object) -> str:
    """An error in one line: a broken law speaks for itself, anything else is named."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, AssertionError) and first else f"{type(error).__name__}: {first}"
