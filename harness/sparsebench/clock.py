"""When masks change: a run's clock, its events, and the rules that make one of the other. Host numbers, float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sparsebench import schedules


@dataclass(frozen=True)
class Clock:
    """When masks change, in iterations of this run: batch i is consumed by iteration i = 0 … steps − 1.

    `delta_t` is ΔT; updates fall in [begin, end); `alpha` is the drop fraction at i = 0, annealed to `end`.
    """

    steps: int
    delta_t: int
    alpha: float
    begin: int
    end: int
    anneal: schedules.Anneal

    def due(self, i: int) -> bool:
        """Whether i is a multiple of ΔT with ΔT ≤ i and begin ≤ i < end."""
        return i % self.delta_t == 0 and max(self.begin, self.delta_t) <= i < self.end

    def drop_fraction(self, i: int) -> float:
        """f(i), the share of active connections to drop; cosine: α/2 · (1 + cos(π·i / end))."""
        return self.anneal(self.alpha, i / self.end)


@dataclass(frozen=True)
class Event:
    """One mask update, as the host decides it.

    A layer is pruned to the count that `sparsity_share` (0 = its first sparsity, 1 = its last) leaves active,
    `drop_fraction` of those are dropped too, then it is filled up to that count, and beyond it by `overgrowth`, a
    share of it (not where layers are compared); the next event drops at least those. An event that `replaces_step`
    consumes batch `iteration` for its gradient and takes no optimizer step; any other follows that iteration's step.
    """

    iteration: int
    drop_fraction: float = 0.0
    sparsity_share: float = 1.0
    replaces_step: bool = False
    overgrowth: float = 0.0

    def between(self, first: float, last: float) -> float:
        """The sparsity in force after it, of a layer that goes from one to the other."""
        return (1 - self.sparsity_share) * first + self.sparsity_share * last


When = Callable[[Clock, int], Event | None]


def never(clock: Clock, i: int) -> Event | None:
    """No update at any iteration."""
    return None


def after_step(clock: Clock, i: int) -> Event | None:
    """Drop and grow every ΔT iterations, after the optimizer's step."""
    return Event(i, clock.drop_fraction(i)) if clock.due(i) else None


def instead_of_step(clock: Clock, i: int) -> Event | None:
    """Drop and grow every ΔT iterations; that batch gives the gradient and trains nothing."""
    return Event(i, clock.drop_fraction(i), replaces_step=True) if clock.due(i) else None


def at_start(clock: Clock, i: int) -> Event | None:
    """Once, at iteration 0: that batch gives the gradient and trains nothing."""
    return Event(i, replaces_step=True) if i == 0 else None
