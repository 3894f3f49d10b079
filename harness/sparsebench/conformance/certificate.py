"""What the suite found out about a plugin: every law, where and in how many cases it held, and what breaks it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sparsebench import plugins
from sparsebench.conformance.check import OnBackend
from sparsebench.conformance.engine import Outcome, Status, examine
from sparsebench.conformance.suite import GROUPS, Kind, Plan, Subject, Trial, find, plan
from sparsebench.errors import UserError, unknown
from sparsebench.method import Law, Method

CASES = 20
Expected = Mapping[str, str]
"""Name of a check (`moments`), or of a check somewhere (`moments-jax`) -> why it fails."""
Watch = Callable[[Trial], None]
"""Told of every trial before it is made."""


@dataclass(frozen=True)
class Certificate:
    """The outcomes of all trials of a plugin, with what they depend on."""

    plan: Plan
    outcomes: tuple[tuple[Trial, Outcome], ...]
    cases: int
    seed: int
    device: str

    @property
    def kind(self) -> Kind:
        """What the plugin is."""
        return self.plan.kind

    @property
    def subject(self) -> Subject:
        """The plugin."""
        return self.plan.subject

    @property
    def name(self) -> str:
        """The plugin's."""
        return self.subject.name

    @property
    def absent(self) -> Mapping[str, str]:
        """Backends that it was not tried on, and why."""
        return self.plan.absent

    @property
    def passed(self) -> bool:
        """Whether nothing failed that was not expected to, and nothing held that was."""
        return not self.failures

    @property
    def failures(self) -> list[tuple[Trial, Outcome]]:
        """What must be mended."""
        return [(trial, outcome) for trial, outcome in self.outcomes if outcome.failed]

    @property
    def package(self) -> str:
        """Where the plugin comes from, with its version; nothing for a value that is not registered."""
        if self.name not in plugins.names(GROUPS[self.kind]):
            return ""
        name = plugins.package(GROUPS[self.kind], self.name)
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return name

    @property
    def claims(self) -> tuple[Law, ...]:
        """The laws that a method promises to obey, in their own order; every law for a backend."""
        return tuple(law for law in Law if not isinstance(self.subject, Method) or law in self.subject.claims)

    @property
    def unchecked(self) -> tuple[Law, ...]:
        """What a method claims and no check knows."""
        known = {trial.check.claim for trial, _ in self.outcomes}
        return tuple(law for law in self.claims if law not in known) if isinstance(self.subject, Method) else ()

    @property
    def versions(self) -> dict[str, str]:
        """Of Python, of what the suite runs on, and of the packages of each backend that was tried."""
        names = {"sparsebench", "numpy", "hypothesis"}
        for trial, _ in self.outcomes:
            if isinstance(trial.place, OnBackend):
                names |= set(trial.place.backend.packages)
        return {"python": platform.python_version()} | {name: version(name) for name in sorted(names)}


# ---- made -------------------------------------------------------------------------------------------------------


def certify(
    subject: Subject | str,
    *,
    kind: Kind | None = None,
    cases: int = CASES,
    seed: int = 0,
    device: str = "cpu",
    expected: Expected | None = None,
    watch: Watch = lambda trial: None,
) -> Certificate:
    """Hold a plugin, or the installed one of that name, to every law that is asked of its kind.

    Raises:
        UserError: there is no such plugin, it cannot be tried here, or Hypothesis is missing.
    """
    planned = plan(find(subject, kind) if isinstance(subject, str) else subject, device)
    expectations = expectations_of(planned, expected or {})
    planned = _reachable(planned)
    done: list[tuple[Trial, Outcome]] = []
    for trial in planned.trials:
        watch(trial)
        done.append((trial, tried(trial, cases, seed, expectations.get(trial.id))))
    return Certificate(planned, tuple(done), cases, seed, device)


def _reachable(planned: Plan) -> Plan:
    """Without the backends that have no trainer here.

    Raises:
        UserError: that leaves nothing of a backend, or none to try anything else on.
    """
    absent, unreachable = dict(planned.absent), None
    for place in {id(trial.place): trial.place for trial in planned.trials}.values():
        try:
            _ = place.trainer if isinstance(place, OnBackend) else None
        except UserError as error:
            if planned.kind == "backend":
                raise
            absent[place.name], unreachable = str(error), error
    left = [t for t in planned.trials if not isinstance(t.place, OnBackend) or t.place.name not in absent]
    if unreachable and not any(isinstance(trial.place, OnBackend) for trial in left):
        raise unreachable
    return replace(planned, trials=tuple(left), absent=absent)


def expectations_of(planned: Plan, expected: Expected) -> dict[str, str]:
    """The reason for each trial that is expected to fail.

    Raises:
        UserError: a name is that of no check.
    """
    found: dict[str, str] = {}
    for name, reason in expected.items():
        ids = [trial.id for trial in planned.trials if name in (trial.check.name, trial.id)]
        if not ids:
            allowed = {known for trial in planned.trials for known in (trial.check.name, trial.id)}
            raise unknown("check among the expected failures", name, allowed)
        found |= dict.fromkeys(ids, reason)
    return found


def tried(trial: Trial, cases: int, seed: int, expected: str | None = None) -> Outcome:
    """The outcome of one trial, in the light of what is expected of it."""
    if trial.unclaimed:
        return Outcome(trial.check, trial.place.name, Status.UNCLAIMED)
    outcome = examine(trial.check, trial.place, cases, seed)
    if expected is None:
        return outcome
    if outcome.status is Status.BROKEN:
        return replace(outcome, status=Status.EXPECTED, expected=expected)
    if outcome.status is Status.HELD:
        return replace(outcome, status=Status.UNEXPECTED, expected=expected)
    return outcome


# ---- tried again ------------------------------------------------------------------------------------------------


def replay(
    subject: Subject | str, check: str, *, on: str, case: Mapping[str, Any], kind: Kind | None = None,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Make one check on one case again, for a debugger: raises the plugin's own error, or `BrokenLawError`."""
    planned = plan(find(subject, kind) if isinstance(subject, str) else subject, device)
    trial = planned.trial(check, on)
    trial.check.holds(trial.place, trial.check.case(**case))


def again(planned: Plan, outcome: Outcome, device: str) -> list[str]:
    """Python that tries the smallest failing case again."""
    name, registered = planned.subject.name, planned.subject.name in plugins.names(GROUPS[planned.kind])
    subject = repr(name) if registered else "subject"
    given = "" if registered else f"  # subject: the {planned.kind} that calls itself {name!r}"
    where = "" if device == "cpu" else f", device={device!r}"
    return [
        "from sparsebench.conformance import replay",
        f"replay({subject}, {outcome.check.name!r}, on={outcome.on!r}, case={asdict(outcome.example)!r}{where}){given}",
    ]


# ---- as a document ----------------------------------------------------------------------------------------------


def document(certificate: Certificate) -> dict[str, Any]:
    """The certificate as JSON has it."""
    method = isinstance(certificate.subject, Method)
    return {
        "kind": certificate.kind,
        "name": certificate.name,
        "package": certificate.package,
        "passed": certificate.passed,
        "cases": certificate.cases,
        "seed": certificate.seed,
        "device": certificate.device,
        "versions": certificate.versions,
        "claims": [law.name.lower() for law in certificate.claims] if method else [],
        "not_claimed": [law.name.lower() for law in Law if law not in certificate.claims] if method else [],
        "unchecked": [law.name.lower() for law in certificate.unchecked],
        "absent": dict(certificate.absent),
        "checks": [_entry(certificate, trial, outcome) for trial, outcome in certificate.outcomes],
    }


def _entry(certificate: Certificate, trial: Trial, outcome: Outcome) -> dict[str, Any]:
    found = outcome.example is not None
    return {
        "check": trial.check.name,
        "law": trial.check.law,
        "claim": trial.check.claim.name.lower() if trial.check.claim else None,
        "part": trial.part,
        "on": outcome.on,
        "status": outcome.status.name.lower(),
        "cases": outcome.cases,
        "reason": outcome.reason,
        "refusals": list(outcome.refusals),
        "expected": outcome.expected,
        "example": asdict(outcome.example) if found else None,
        "snippet": "\n".join(again(certificate.plan, outcome, certificate.device)) if found else None,
    }


def written(certificate: Certificate) -> str:
    """The document as text."""
    return json.dumps(document(certificate), indent=1, ensure_ascii=False)


def counted(outcomes: Sequence[tuple[Trial, Outcome]]) -> dict[Status, int]:
    """How many trials ended in which way."""
    return {status: sum(outcome.status is status for _, outcome in outcomes) for status in Status}
