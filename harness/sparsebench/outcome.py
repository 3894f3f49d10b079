"""How a run that is recorded has ended; what a worker says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsebench.divergence import Divergence


@dataclass(frozen=True)
class Outcome:
    """How it diverged, if it did; where it was done again, what differs from each record that was replaced and is kept.

    `differing` is None where it was not done again.
    """

    diverged: Divergence | None = None
    differing: Mapping[Path, Sequence[str]] | None = None
