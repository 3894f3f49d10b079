"""Room for records, and the right to write them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.sizes import written

LITTLE, NONE = 1e9, 1e8
"""Bytes free below which it may soon, or will, not do."""


def writable(place: Place) -> Iterable[Finding]:
    """May records be written?"""
    folder = _there(place.records)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield problem(f"{folder} cannot be written to", "give another folder with --records, or the right to write")


def room(place: Place) -> Iterable[Finding]:
    """Is there room for them, and for as many files?"""
    folder = _there(place.records)
    free = shutil.disk_usage(folder).free
    told, remedy = f"{written(free)} free in {folder}", "make room, or give a folder elsewhere with --records"
    yield (
        ok(told)
        if free >= LITTLE
        else warning(f"only {told}", remedy)
        if free >= NONE
        else problem(f"only {told}", remedy)
    )
    status = os.statvfs(folder)
    if status.f_files and not status.f_favail:
        yield problem(f"no more files can be made in {folder} (no free inodes)", remedy)


def _there(folder: Path) -> Path:
    """The folder, or the nearest that is there and that it would be made in."""
    place = folder.absolute()
    return next(each for each in (place, *place.parents) if each.is_dir())
