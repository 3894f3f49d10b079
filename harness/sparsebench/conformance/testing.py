"""The suite as pytest has it: one test for each law and place, in five lines of somebody else's test file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsebench.conformance.certificate import CASES, Expected, again, expectations_of, tried
from sparsebench.conformance.check import BrokenLawError
from sparsebench.conformance.engine import Status
from sparsebench.conformance.suite import Kind, Plan, Subject, Trial, find, plan
from sparsebench.errors import UserError

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Pending:
    """A check that is yet to be made: call it."""

    planned: Plan
    trial: Trial
    cases: int
    seed: int
    device: str

    def __call__(self) -> None:
        """Make it.

        Raises:
            BrokenLawError: the law is broken; says by which case, and how to try that again.
        """
        import pytest

        outcome = tried(self.trial, self.cases, self.seed)
        if outcome.status is Status.BROKEN:
            lines = again(self.planned, outcome, self.device)
            told = "\n".join(["", *lines])
            raise BrokenLawError(f"{outcome.check.law}: {outcome.reason}{told}")
        if outcome.status is not Status.HELD:
            pytest.skip(outcome.reason or f"{outcome.status.value}: {outcome.check.law}")


def parametrize_with_checks(
    subject: Subject | str,
    *,
    expected_failures: Expected | None = None,
    kind: Kind | None = None,
    cases: int = CASES,
    seed: int = 0,
    device: str = "cpu",
) -> pytest.MarkDecorator:
    """Parametrise a test over all checks of a plugin, or of the installed one of that name; the test calls `check()`.

    `expected_failures` maps the name of a check (`moments`), or of a check on a backend (`moments-jax`), to the reason
    why it fails; one that passes after all is an error. What a method does not claim is skipped.

    Raises:
        UserError: there is no such plugin, no such check, or pytest is missing.
    """
    try:
        import pytest
    except ImportError as error:
        raise UserError("parametrize_with_checks needs pytest, not installed here: pip install pytest") from error
    planned = plan(find(subject, kind) if isinstance(subject, str) else subject, device)
    reasons = expectations_of(planned, expected_failures or {})

    def parameter(trial: Trial) -> Any:
        marks = [pytest.mark.xfail(reason=reasons[trial.id], strict=True)] if trial.id in reasons else []
        return pytest.param(Pending(planned, trial, cases, seed, device), id=trial.id, marks=marks)

    return pytest.mark.parametrize("check", [parameter(trial) for trial in planned.trials])
