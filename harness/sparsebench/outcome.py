"""How a run that is recorded has ended; what a worker says of it."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.divergence import Divergence


@dataclass(frozen=True)
class Outcome:
    """How it diverged, if it did; and what came out differently, where it was done again."""

    diverged: Divergence | None = None
    differing: tuple[str, ...] = ()
