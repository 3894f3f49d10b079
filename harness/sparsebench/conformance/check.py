"""What a check is: a law in one line, the cases that it ranges over, and a function that raises where it is broken.

A case is a frozen dataclass of plain values, so that a failing one can be printed, kept and tried again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sparsebench.method import Law
from sparsebench.trainer import Backend, SparseTrainer

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Case = Any
Made = TypeVar("Made")


class BrokenLawError(AssertionError):
    """A law does not hold; says where, what was found and what was expected."""


class Place(Protocol):
    """Where a check is made: a plugin among what it needs to be tried."""

    @property
    def name(self) -> str:
        """The column of the certificate."""
        ...


class OnBackend:
    """A place on a backend, with a trainer of its own."""

    backend: Backend
    device: str

    @property
    def name(self) -> str:
        """The backend's."""
        return self.backend.name

    @cached_property
    def trainer(self) -> SparseTrainer[Any]:
        """One for all checks, so that its compiled programs are used again."""
        return self.backend.trainer(self.device)


def spread(kind: Callable[..., Made]) -> Callable[..., Made]:
    """What makes a case of what is drawn for it, where a tuple (a network and a recipe) is drawn for several fields."""

    def make(*drawn: Any) -> Made:
        parts: list[tuple[Any, ...]] = [each if isinstance(each, tuple) else (each,) for each in drawn]
        return kind(*itertools.chain.from_iterable(parts))

    return make


def _always(place: Any) -> str | None:
    return None


def _none(place: Any) -> Sequence[Case]:
    return ()


@dataclass(frozen=True)
class Check:
    """One law of one kind of plugin.

    `cases(place)` draws what `holds(place, case)` is given, which raises `BrokenLawError` where the law is broken; a
    `UserError` there says that the plugin refuses the case, which is its right. `first(place)` are cases that are
    tried whatever is drawn. `idle(place)` is the reason why the law says nothing about what is there. A method that
    does not claim `claim` is not held to it.
    """

    name: str
    law: str
    case: type
    cases: Callable[[Any], SearchStrategy[Case]]
    holds: Callable[[Any, Case], None]
    claim: Law | None = None
    idle: Callable[[Any], str | None] = _always
    first: Callable[[Any], Sequence[Case]] = _none


def require(truth: object, told: str) -> None:
    """Raise `BrokenLawError` unless it is true."""
    if not truth:
        raise BrokenLawError(told)
