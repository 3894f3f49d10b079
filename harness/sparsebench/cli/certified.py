"""A certificate on the screen: a row for each law, a column for each place, and below what is to be mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from sparsebench.cli.tables import wrapped
from sparsebench.conformance.certificate import Certificate, again
from sparsebench.conformance.engine import Outcome, Status
from sparsebench.conformance.suite import Trial, battery
from sparsebench.method import Law, Method
from sparsebench.terminal import Terminal
from sparsebench.trainer import Backend

PARTS = {
    "functions": "its functions",
    "training": "in training",
    "specification": "its specification",
    "networks": "its networks",
}
ASIDE = {
    Status.IDLE: "not applicable",
    Status.UNCLAIMED: "not claimed",
    Status.REFUSED: "refused in every case",
}
"""What is told below the table, with the reason."""
STYLES = {Status.BROKEN: "bold red", Status.UNEXPECTED: "bold red", Status.HELD: "green", Status.EXPECTED: "yellow"}


def show(certificate: Certificate) -> None:
    """Print it: green and red on a terminal, the same words elsewhere."""
    console = Terminal()
    console.width = max(console.width, 120)  # lines run over instead of losing words
    for line in _head(certificate):
        console.print(line)
    console.print()
    console.print(_table(certificate))
    console.print()
    for line in (*_asides(certificate), *_failures(certificate)):
        console.print(line, soft_wrap=True)
    console.print(_verdict(certificate), style="bold green" if certificate.passed else "bold red")


def _head(certificate: Certificate) -> Iterator[str]:
    origin = f", of {certificate.package}" if certificate.package else ""
    yield from wrapped(f"{certificate.kind} {certificate.name}{origin}: {certificate.subject.summary}")
    versions = ", ".join(f"{name} {version}" for name, version in certificate.versions.items())
    drawn = f"{certificate.cases} cases a check, seed {certificate.seed}, device {certificate.device}"
    yield from wrapped(f"{drawn}; {versions}")
    if isinstance(certificate.subject, Backend):
        yield from wrapped(f"with the methods {', '.join(battery())}")
    for name, reason in certificate.absent.items():
        yield from wrapped(f"not tried on {name}: {reason}")


# ---- the table --------------------------------------------------------------------------------------------------


def _table(certificate: Certificate) -> Table:
    places = list(dict.fromkeys(outcome.on for _, outcome in certificate.outcomes))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("law")
    for place in places:
        table.add_column(place, justify="right", no_wrap=True)
    part = ""
    for trials in _by_check(certificate):
        if all(outcome.status in ASIDE for _, outcome in trials):
            continue
        if trials[0][0].part != part:
            if part:
                table.add_row()
            part = trials[0][0].part
            table.add_row(Text(PARTS[part], "bold"))
        check, cells = trials[0][0].check, {outcome.on: _cell(outcome) for _, outcome in trials}
        table.add_row(check.name, check.law, *(cells.get(place, "") for place in places))
    return table


def _by_check(certificate: Certificate) -> list[list[tuple[Trial, Outcome]]]:
    """The trials of each check, wherever they were made, in the order of the suite."""
    found: dict[str, list[tuple[Trial, Outcome]]] = {}
    for trial, outcome in certificate.outcomes:
        found.setdefault(trial.check.name, []).append((trial, outcome))
    return sorted(found.values(), key=lambda trials: list(PARTS).index(trials[0][0].part))


def _cell(outcome: Outcome) -> Text:
    words = {
        Status.HELD: f"{outcome.cases}",
        Status.BROKEN: "BROKEN",
        Status.UNEXPECTED: "HOLDS",
        Status.EXPECTED: "expected",
    }
    return Text(words.get(outcome.status, "–"), STYLES.get(outcome.status, "dim"))


# ---- below it ---------------------------------------------------------------------------------------------------


def _asides(certificate: Certificate) -> Iterator[str]:
    if isinstance(certificate.subject, Method):
        yield from _promises(certificate)
    for status, title in ASIDE.items():
        told: dict[str, list[str]] = {}
        for trial, outcome in certificate.outcomes:
            if outcome.status is status and outcome.reason:
                names = told.setdefault(outcome.reason, [])
                names += [] if trial.check.name in names else [trial.check.name]
        for reason, names in told.items():
            yield from wrapped(f"{title}: {', '.join(names)} ({reason})")
    yield from _refused_in_part(certificate)
    for trial, outcome in certificate.outcomes:
        if outcome.status is Status.EXPECTED:
            yield from wrapped(f"expected to fail: {trial.id} ({outcome.expected})")


def _refused_in_part(certificate: Certificate) -> Iterator[str]:
    """Reasons of refusals in checks that were made all the same."""
    told: dict[str, list[str]] = {}
    for trial, outcome in certificate.outcomes:
        for reason in outcome.refusals if outcome.status not in ASIDE else ():
            names = told.setdefault(f"{reason}, on {outcome.on}", [])
            names += [] if trial.check.name in names else [trial.check.name]
    for reason, names in told.items():
        yield from wrapped(f"refused in some cases: {', '.join(names)} ({reason})")


def _promises(certificate: Certificate) -> Iterator[str]:
    claims = ", ".join(law.name.lower() for law in certificate.claims)
    yield from wrapped(f"it claims {claims or 'nothing'}")
    for law in Law:
        if law not in certificate.claims:
            yield from wrapped(f"it does not claim {law.name.lower()}: {law.value}")
    for law in certificate.unchecked:
        yield from wrapped(f"not tried here: {law.name.lower()}, which it claims: {law.value}")


def _failures(certificate: Certificate) -> Iterator[Text]:
    """A paragraph for each law that is broken, whatever the number of places where it is by the same case."""
    found: dict[str, list[Outcome]] = {}
    for trial, outcome in certificate.failures:
        found.setdefault(f"{trial.check.name} {outcome.status} {outcome.example}", []).append(outcome)
    for outcomes in found.values():
        yield Text()
        yield from _failure(certificate, outcomes)
    if found:
        yield Text()


def _failure(certificate: Certificate, outcomes: list[Outcome]) -> Iterator[Text]:
    first, places = outcomes[0], ", ".join(outcome.on for outcome in outcomes)
    if first.status is Status.UNEXPECTED:
        yield Text(f"{first.check.name} holds on {places}, and was expected to fail: {first.expected}", "bold red")
        return
    yield Text(f"{first.check.name} is broken on {places}: {first.check.law}", "bold red")
    yield Text(f"  {first.reason}")
    if first.example is None:
        yield Text("  before a case was drawn")
        return
    case = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(first.example).items())
    yield Text(f"  smallest case found: {case}")
    for line in again(certificate.plan, first, certificate.device):
        yield Text(f"    {line}", "cyan")


def _verdict(certificate: Certificate) -> str:
    tried = [outcome for _, outcome in certificate.outcomes if outcome.status not in ASIDE]
    cases = sum(outcome.cases for outcome in tried)
    if certificate.passed:
        asked = "every law that it claims" if isinstance(certificate.subject, Method) else "every law"
        return f"{certificate.name} holds to {asked}: {len(tried)} checks, {cases:,} cases"
    return f"{certificate.name} fails {len(certificate.failures)} of {len(tried)} checks"
