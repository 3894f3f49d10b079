"""Data sets that come in files: where they are, and whether they are what they should be. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sparsebench import plugins
from sparsebench.data import fetch
from sparsebench.data.fetch import Archive
from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.doctor.isolated import asked
from sparsebench.errors import UserError
from sparsebench.worker import Failed, Report

DOWNLOADED, NEVER = "downloaded when first used", "never downloaded (name their folder with --data)"


def archives(place: Place) -> Iterable[Finding]:
    """Each of them, every file read and checked against its digest."""
    end = asked(_looked, {"data sets": place})["data sets"]
    if isinstance(end, Failed):
        yield problem(f"data sets cannot be checked: {end.reason}", "see what plugins do not load")
    else:
        yield from end.result


def _looked(place: Place, report: Report) -> list[Finding]:
    found: list[Finding] = []
    absent: dict[str, list[str]] = {}
    for name, archive in _sources():
        try:
            folder = fetch.located(archive, place.data)
        except UserError as error:
            found.append(warning(*_split(str(error))))
            continue
        if folder is None:
            absent.setdefault(DOWNLOADED if archive.address else NEVER, []).append(name)
        else:
            found.append(_checked(name, archive, folder))
    return found + [ok(f"not here, {what}: {', '.join(names)}") for what, names in absent.items()]


def _sources() -> Iterator[tuple[str, Archive]]:
    """Data sets that come in files, by name; those that do not load are told of under the installation."""
    for name in plugins.names("datasets"):
        with suppress(UserError):
            if archive := plugins.load("datasets", name).archive:
                yield name, archive


def _checked(name: str, archive: Archive, folder: Path) -> Finding:
    try:
        fetch.verify(archive, folder)
    except UserError as error:
        what, _, remedy = str(error).rpartition("; ")
        return problem(what, remedy)
    return ok(f"{name}: whole, in {folder}")


def _split(reason: str) -> tuple[str, str]:
    """What is missing and where, and what to do, which a refusal says after its last colon and blank."""
    what, _, remedy = reason.rpartition(": ")
    return what, remedy
