"""Python, the packages against the ranges that sparsebench asks for, its extras, and what plugins there are."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from functools import cache

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sparsebench import plugins, shipped
from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.doctor.isolated import asked
from sparsebench.errors import UserError
from sparsebench.worker import Finished, Report

PURPOSES = {
    "torch": "training in PyTorch, and timm's models",
    "jax": "training in JAX",
    "board": "the leaderboard, pictures and MLflow",
    "check": "`sparsebench check`",
}
"""The extras that a user may miss, and what for."""
NAMES = {"families": "families of models", "datasets": "data sets"}
GROUPS: tuple[plugins.Group, ...] = ("methods", "models", "families", "datasets")
"""Backends are asked for their devices too."""


def python(place: Place) -> Iterable[Finding]:
    """Is it new enough?"""
    wanted, given = (
        SpecifierSet(importlib.metadata.metadata("sparsebench")["Requires-Python"]),
        platform.python_version(),
    )
    if given in wanted:
        yield ok(f"Python {given} ({wanted})")
    else:
        yield problem(f"Python {given}, sparsebench needs {wanted}", "install it in an environment of such a Python")


def packages(place: Place) -> Iterable[Finding]:
    """What sparsebench cannot do without, and all of its extras that is there: are the versions in range?"""
    wrong = list(_out_of_range())
    yield from wrong
    if not wrong:
        yield ok(f"sparsebench {importlib.metadata.version('sparsebench')}, all packages in range")


def _out_of_range() -> Iterator[Finding]:
    for wanted in dict.fromkeys([*_wanted(""), *(each for extra in PURPOSES for each in _wanted(extra))]):
        given = _version(wanted.name)
        needed = wanted in _wanted("")
        if given is None and needed:
            yield problem(f"{wanted.name} is not installed", f"pip install '{wanted.name}{wanted.specifier}'")
        elif given is not None and not wanted.specifier.contains(given, prereleases=True):
            yield problem(
                f"{wanted.name} {given} is installed, sparsebench needs {wanted.specifier}",
                f"pip install '{wanted.name}{wanted.specifier}'",
            )


def extras(place: Place) -> Iterable[Finding]:
    """What is optional: is it there, and in a version that was tested?"""
    for extra, purpose in PURPOSES.items():
        versions = {wanted.name: _version(wanted.name) for wanted in _wanted(extra)}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            yield warning(
                f"{', '.join(missing)} not installed: needed for {purpose}", f"pip install 'sparsebench[{extra}]'"
            )
        else:
            yield ok(f"{extra}: {', '.join(f'{name} {_told(name, version)}' for name, version in versions.items())}")


def _told(name: str, version: str | None) -> str:
    tested = _tested().get(canonicalize_name(name))
    return f"{version} (tested: {tested})" if tested and tested != version else f"{version}"


@cache
def _tested() -> dict[str, str]:
    """Versions that the tests run with, for this Python."""
    lines = (line.partition("#")[0].strip() for line in (shipped.text("constraints.txt") or "").splitlines())
    pinned = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in pinned
        if each.marker is None or each.marker.evaluate()
    }


@cache
def _wanted(extra: str) -> tuple[Requirement, ...]:
    """What an extra asks for; none: what sparsebench always does."""
    found = [Requirement(line) for line in importlib.metadata.requires("sparsebench") or []]
    if not extra:
        return tuple(each for each in found if each.marker is None or each.marker.evaluate({"extra": ""}))
    return tuple(each for each in found if f'extra == "{extra}"' in str(each.marker))


def _version(name: str) -> str | None:
    return importlib.metadata.version(name) if plugins.installed(name) else None


def found(place: Place) -> Iterable[Finding]:
    """Do all methods, models and data sets load, anybody's?"""
    for group, end in asked(_surveyed, {group: group for group in GROUPS}).items():
        if not isinstance(end, Finished):
            yield problem(f"{group} cannot be loaded: {end.reason}", "uninstall the package that was installed last")
            continue
        broken = [reason for reason in end.result if reason]
        yield from (problem(*_split(reason)) for reason in broken)
        if not broken:
            yield ok(f"{NAMES.get(group, group)}: {len(end.result)} load")


def _split(reason: str) -> tuple[str, str]:
    """What is wrong with a plugin, and what to do, which its refusal says after a semicolon."""
    what, _, remedy = reason.rpartition("; ")
    return (what, remedy) if what else (reason, "mend or uninstall the package")


def _surveyed(group: plugins.Group, report: Report) -> list[str]:
    """Of each plugin what is wrong with it; empty where nothing is."""
    return [str(told) if isinstance(told, UserError) else "" for _, told in plugins.survey(group)]
