"""Backends, methods, models and data sets by name, from entry points: ours and anybody's alike.

Names cost no import. A plugin is imported when it is asked for; one that fails is a warning in a list and an error
in a run.
"""

from __future__ import annotations

import importlib.metadata
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Literal, overload

from sparsebench.errors import NotInstalledError, UserError, unknown

if TYPE_CHECKING:
    from sparsebench.data.source import Source
    from sparsebench.method import Method
    from sparsebench.models import Model
    from sparsebench.trainer import Backend

Group = Literal["backends", "methods", "models", "datasets", "families"]

KINDS: dict[Group, str] = {
    "backends": "backend", "methods": "method", "models": "model", "datasets": "data set",
    "families": "family of models",
}  # fmt: skip
_TYPES: dict[Group, str] = {
    "backends": "sparsebench.trainer:Backend",
    "methods": "sparsebench.method:Method",
    "models": "sparsebench.models:Model",
    "datasets": "sparsebench.data.source:Source",
    "families": "sparsebench.models:Family",
}


def names(group: Group) -> tuple[str, ...]:
    """All registered names of a group, sorted; nothing is imported."""
    return tuple(sorted(_entries(group)))


@overload
def load(group: Literal["backends"], name: str) -> Backend: ...
@overload
def load(group: Literal["methods"], name: str) -> Method: ...
@overload
def load(group: Literal["models"], name: str) -> Model: ...
@overload
def load(group: Literal["datasets"], name: str) -> Source: ...
def load(group: Group, name: str) -> Backend | Method | Model | Source:
    """The plugin of that name, checked; a model may be a member of a family, `timm/resnet18`.

    Raises:
        UserError: no such name, two packages claim it, it cannot be imported, is of the wrong type, or a package
            that it needs is not installed.
    """
    family, slash, member = name.partition("/")
    if group == "models" and slash and name not in _entries(group):
        return _member(family, member)
    return _load(group, name)


@cache
def _member(family: str, member: str) -> Model:
    return _load("families", family).member(member)


def survey(group: Group) -> Iterator[tuple[str, str | UserError]]:
    """(name, its summary or what is wrong with it) for every plugin of a group."""
    for name in names(group):
        try:
            yield name, _load(group, name).summary
        except UserError as error:
            yield name, error


@cache
def _entries(group: Group) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in importlib.metadata.entry_points(group=f"sparsebench.{group}"):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _load(group: Group, name: str) -> Any:
    entries = _entries(group)
    if name not in entries:
        raise unknown(KINDS[group], name, entries)
    if len(entries[name]) > 1:
        packages = " and ".join(sorted(_package(entry) for entry in entries[name]))
        raise UserError(f"{KINDS[group]} {name!r} is claimed by {packages}: uninstall all but one of them")
    plugin = _imported(group, entries[name][0])
    if group == "backends":
        _check_installed(plugin)
    return plugin


def _imported(group: Group, entry: EntryPoint) -> Any:
    where = f"{KINDS[group]} {entry.name!r} of package {_package(entry)!r} ({entry.value})"
    try:
        with redirect_stdout(sys.stderr):  # what a command prints may be read by a program
            plugin = entry.load()
    except (Exception, SystemExit) as error:  # a script that somebody registered ends itself when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{where} cannot be loaded: {reason}; mend or uninstall the package") from error
    wanted = pkgutil.resolve_name(_TYPES[group])
    if not isinstance(plugin, wanted):
        given = type(plugin).__name__
        raise UserError(f"{where} is a {given}, not a {wanted.__module__}.{wanted.__name__}; mend or uninstall it")
    if plugin.name != entry.name:
        raise UserError(f"{where} calls itself {plugin.name!r}: records go by one name; mend or uninstall the package")
    return plugin


def _check_installed(backend: Backend) -> None:
    missing = [package for package in backend.packages if not installed(package)]
    if missing:
        remedy = f"sparsebench[{backend.extra}]" if backend.extra else " ".join(missing)
        raise NotInstalledError(
            f"backend {backend.name!r} needs {', '.join(missing)}, not installed here: pip install '{remedy}'"
        )


def package(group: Group, name: str) -> str:
    """The distribution that registers the plugin of that name; nothing is imported.

    Raises:
        UserError: no such name.
    """
    entries = _entries(group)
    if name not in entries:
        raise unknown(KINDS[group], name, entries)
    return " and ".join(sorted(_package(entry) for entry in entries[name]))


def installed(distribution: str) -> bool:
    """Whether a distribution of that name is installed; nothing is imported."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"
