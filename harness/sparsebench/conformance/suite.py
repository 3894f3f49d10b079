"""Which checks a plugin is held to, and where: the whole suite for a method, a backend or a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sparsebench import plugins
from sparsebench.conformance import (
    backing,
    building,
    choosing,
    masking,
    refusing,
    remembering,
    ruling,
    scoring,
    spaces,
    specifying,
    timing,
)
from sparsebench.conformance.building import Built
from sparsebench.conformance.check import Check, Place
from sparsebench.conformance.functions import Functions
from sparsebench.conformance.ground import FULLY_CONNECTED, Ground, buildable
from sparsebench.conformance.specifying import Table
from sparsebench.errors import UserError, unknown
from sparsebench.method import Local, Method, Signals
from sparsebench.methods.set import set_
from sparsebench.models import Model, declared_builder
from sparsebench.trainer import Backend

Kind = Literal["method", "backend", "model"]
Subject = Method | Backend | Model
GROUPS: Mapping[Kind, Literal["methods", "backends", "models"]] = {
    "method": "methods", "backend": "backends", "model": "models",
}  # fmt: skip
OURS = "sparsebench"

FUNCTIONS = (*scoring.CHECKS, *choosing.CHECKS)
TRAINING = (*masking.CHECKS, *ruling.CHECKS, *remembering.CHECKS, *refusing.CHECKS)
FOR_METHODS = {FULLY_CONNECTED: ("momentum", "adam")}
"""Where a method is tried: elsewhere nothing changes for it, and JAX compiles for each."""


@dataclass(frozen=True)
class Trial:
    """A check to be made at a place; `unclaimed`: the method does not promise that."""

    check: Check
    place: Place
    part: str
    unclaimed: bool = False

    @property
    def id(self) -> str:
        """What expected failures and tests call it: `zero-outside-torch`."""
        return f"{self.check.name}-{self.place.name}"


@dataclass(frozen=True)
class Plan:
    """All trials of a plugin, and the backends that it cannot be tried on, with the reason."""

    kind: Kind
    subject: Subject
    trials: tuple[Trial, ...]
    absent: Mapping[str, str]

    def trial(self, check: str, on: str) -> Trial:
        """The trial of that name.

        Raises:
            UserError: there is none.
        """
        found = {trial.id: trial for trial in self.trials}
        if f"{check}-{on}" not in found:
            raise unknown("check", f"{check}-{on}", found)
        return found[f"{check}-{on}"]


def plan(subject: Subject, device: str = "cpu") -> Plan:
    """The suite for a plugin on every installed backend.

    Raises:
        UserError: it is a backend that cannot be tried.
    """
    if isinstance(subject, Method):
        grounds, absent = _each_backend(subject, device)
        trials = [*_of_functions(subject), *(t for ground in grounds for t in _of_training(subject, ground))]
        return Plan("method", subject, tuple(trials), absent)
    if isinstance(subject, Backend):
        ground = Ground(subject, battery(), buildable(subject), device=device)
        checks = (*TRAINING, *backing.CHECKS)
        return Plan("backend", subject, tuple(Trial(check, ground, "training") for check in checks), {})
    return _of_model(subject, device)


def find(name: str, kind: Kind | None = None) -> Subject:
    """The installed plugin of that name.

    Raises:
        UserError: none is, or several of different kinds are and `kind` does not say which.
    """
    kinds: list[Kind] = [kind] if kind else [each for each in GROUPS if name in plugins.names(GROUPS[each])]
    if not kinds and "/" in name:
        kinds = ["model"]
    if len(kinds) > 1:
        raise UserError(f"{name!r} is the name of a {' and of a '.join(kinds)}: say which with --kind")
    if not kinds:
        allowed = [each for group in GROUPS.values() for each in plugins.names(group)]
        raise unknown("method, backend or model", name, allowed)
    return plugins.load(GROUPS[kinds[0]], name)


# ---- methods and backends ---------------------------------------------------------------------------------------


def _of_functions(method: Method) -> Iterator[Trial]:
    for space in spaces.present():
        place = Functions(method, space)
        local = (*scoring.ON_HOST, *timing.CHECKS) if space == "numpy" else (*scoring.ELSEWHERE, *choosing.ELSEWHERE)
        for check in (*FUNCTIONS, *local):
            yield Trial(check, place, "functions", _unclaimed(method, check))


def _of_training(method: Method, ground: Ground) -> Iterator[Trial]:
    for check in TRAINING:
        yield Trial(check, ground, "training", _unclaimed(method, check))


def _unclaimed(method: Method, check: Check) -> bool:
    return check.claim is not None and check.claim not in method.claims


def _each_backend(method: Method, device: str) -> tuple[list[Ground], dict[str, str]]:
    """(the ground on every backend that builds the network, why the others are left out)."""
    grounds, absent = list[Ground](), dict[str, str]()
    for name in plugins.names("backends"):
        try:
            backend = plugins.load("backends", name)
            if FULLY_CONNECTED not in buildable(backend):
                raise UserError(f"it does not build {FULLY_CONNECTED}, which methods are tried on")
            grounds.append(Ground(backend, {method.name: method}, (FULLY_CONNECTED,), FOR_METHODS, device))
        except UserError as error:
            absent[name] = str(error)
    return grounds, absent


def battery() -> dict[str, Method]:
    """What backends are tried with: every first-party method, and one whose scores are full of ties."""
    names = [name for name in plugins.names("methods") if plugins.package("methods", name) == OURS]
    return {name: plugins.load("methods", name) for name in names} | {ties.name: ties}


@Local
def _tied(xp: Any, layer: Any, signals: Signals) -> Any:
    """One of four values, two of which count as 0."""
    quarter = xp.floor(signals.noise(signals.role) * 4)
    return xp.where(quarter == 0, 1e-40 * xp.ones_like(quarter), 1 - quarter)


ties = replace(set_, name="ties", summary="SET by scores full of ties", start=_tied, drop=_tied, grow=_tied)


# ---- models -----------------------------------------------------------------------------------------------------


def _of_model(model: Model, device: str) -> Plan:
    trials = [Trial(check, Table(model), "specification") for check in specifying.CHECKS]
    built, absent = list[Built](), dict[str, str]()
    own = [name for name in model.builders if name in plugins.names("backends")]
    for name in dict.fromkeys([*own, *plugins.names("backends")]):  # the model's first is what others are compared with
        try:
            backend = plugins.load("backends", name)
            declared_builder(model, backend)
            place = Built(model, backend, tuple(built[:1]), device)
        except UserError as error:
            absent[name] = str(error)
        else:
            built.append(place)
            trials += [Trial(check, place, "networks") for check in building.CHECKS]
    return Plan("model", model, tuple(trials), absent)
