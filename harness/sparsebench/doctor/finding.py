"""What a check finds: how it stands, in one line, and what to do where something is to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """A warning stops nothing; with a problem something that sparsebench does will fail."""

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Place:
    """Where is looked: the folder of records, and that of data sets if one is named."""

    records: Path
    data: Path | None = None


Check = Callable[[Place], Iterable[Finding]]
"""Looks and changes nothing. What it raises is itself a problem."""


def ok(what: str) -> Finding:
    """As it should be."""
    return Finding("ok", what)


def warning(what: str, remedy: str) -> Finding:
    """Odd, or missing where it may be missed."""
    return Finding("warning", what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """Something will fail."""
    return Finding("problem", what, remedy)
