"""Several tests at once: Holm's step-down correction, which holds whatever the tests have to do with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

LEVEL = 0.05
"""The chance of a single wrong "told apart" in a whole family, at most."""


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Corrected p-values of a family, in its order: the k-th smallest of m times m − k + 1, never falling, 1 at most.

    Where there is no test there is None, and it does not count.
    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    tested = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        corrected[place] = highest
    return corrected


def holm_within(families: Sequence[Hashable], ps: Sequence[float | None]) -> list[float | None]:
    """The same of several families at once, each p-value in the family named at its place."""
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, family in enumerate(families):
        places[family].append(place)
    found: dict[int, float | None] = {}
    for own in places.values():
        found |= zip(own, holm([ps[place] for place in own]), strict=True)
    return [found[place] for place in range(len(ps))]
