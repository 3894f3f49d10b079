"""A sparse-training method as a value: what it says about masks, as pure functions over an array namespace `xp`.

The defaults are the static method; every other one is stated as its difference, `set_ = replace(rigl, grow=random)`.
No function here sees a framework, a loop or a data-dependent shape, so all of it traces and compiles.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from sparsebench import schedules
from sparsebench.clock import Clock, Event, When, never
from sparsebench.clock import after_step as after_step
from sparsebench.clock import at_start as at_start
from sparsebench.clock import instead_of_step as instead_of_step
from sparsebench.layers import Layer
from sparsebench.patterns import Pattern
from sparsebench.selection import top


class Law(Enum):
    """What a method promises about its masks and the state behind them; tested as properties."""

    EXACT_COUNTS = "a mask has exactly the count its plan says, ties to the lowest canonical index"
    ZERO_OUTSIDE = "weights are exactly zero outside the mask after every step, with any optimizer"
    FRESH_STATE = "kept connections were active; truly new ones start at 0 with their optimizer state cleared"
    FINITE_SCORES = "scores are finite float32, subnormals count as 0; anything else is an error"
    SAME_EVERYWHERE = "equal scores, seed and counts give bit-identical masks on every backend and device"
    MONOTONE = "active counts never increase and a pruned connection never returns"


LAWS = frozenset(Law) - {Law.MONOTONE}


@dataclass(frozen=True)
class Signals:
    """What a score may look at, all in the layer's canonical shape.

    `weight` and `gradient` are float32; `gradient` is the dense loss gradient of the full batch (without the
    weight-decay term), None unless the method `needs_gradient`; with `active_gradient` it is 0 where `mask` is false,
    and None for growth. `mask` is bool; `role` says what the score is for (start, drop or grow); `noise(purpose)` draws
    float32 scores in [0, 1) keyed by seed, iteration, layer and purpose; `aux` is what the method's `observe` made of
    the steps so far, float32.
    """

    weight: Any
    gradient: Any
    mask: Any
    noise: Callable[[str], Any]
    role: str = "start"
    aux: Any = None


Score = Callable[[Any, Layer, Signals], Any]
"""(xp, layer, signals) -> float32 scores of the layer's canonical shape; higher is kept or grown first."""


@dataclass(frozen=True)
class Local:
    """A score whose entry j depends on entry j of its signals only, and says so: hosts then score parts of a layer."""

    score: Score

    def __call__(self, xp: Any, layer: Layer, signals: Signals) -> Any:
        """The score of whatever entries the signals hold."""
        return self.score(xp, layer, signals)


Observe = Callable[[Any, Layer, Any, Any, Any], Any]
"""(xp, layer, aux, weight, dense gradient) -> aux, after every batch; it is 0 before the first.

Inside the compiled step, on float32 arrays of the layer's canonical shape. A method that observes needs the dense
gradient of every step, and its ledger says so.
"""


Select = Callable[[Any, Any, Any, Any], Any]
"""(xp, score, count, among) -> bool mask with exactly `count` entries, all of them in `among`."""


@Local
def random(xp: Any, layer: Layer, signals: Signals) -> Any:
    """Uniform random scores, independent for start, drop and grow."""
    return signals.noise(signals.role)


@Local
def magnitude(xp: Any, layer: Layer, signals: Signals) -> Any:
    """|w|, so that the smallest weights are dropped."""
    return xp.abs(signals.weight)


@Local
def gradient_magnitude(xp: Any, layer: Layer, signals: Signals) -> Any:
    """|∂L/∂w| of this iteration's batch, inactive connections included."""
    return xp.abs(signals.gradient)


@Local
def saliency(xp: Any, layer: Layer, signals: Signals) -> Any:
    """|w · ∂L/∂w|: how much the loss changes without the connection, to first order."""
    return xp.abs(signals.weight * signals.gradient)


@Local
def aux_magnitude(xp: Any, layer: Layer, signals: Signals) -> Any:
    """|aux|: the size of what the method observed."""
    return xp.abs(signals.aux)


# ---- across layers --------------------------------------------------------------------------------------------

Rank = Callable[[Any, Sequence[Any], Sequence[Any], Sequence[Any]], Sequence[Any]]
"""(xp, scores, among, counts): of every layer -> how many each layer keeps."""


def each_layer(xp: Any, scores: Sequence[Any], among: Sequence[Any], counts: Sequence[Any]) -> Sequence[Any]:
    """Each layer keeps the count of its own plan."""
    return counts


def all_layers(xp: Any, scores: Sequence[Any], among: Sequence[Any], counts: Sequence[Any]) -> Sequence[Any]:
    """The plans count in sum only: the best scores of all layers together are kept, ties to the first layer."""
    flat, candidates = ([xp.reshape(array, (-1,)) for array in arrays] for arrays in (scores, among))
    chosen = top(xp, xp.concat(flat), sum(counts), xp.concat(candidates))
    ends = list(itertools.accumulate(part.shape[0] for part in flat))
    return [xp.sum(chosen[start:stop], dtype=xp.int32) for start, stop in itertools.pairwise([0, *ends])]


Summary = Callable[[Any, Layer, Signals], Any]
"""(xp, layer, signals) -> one number of a layer after its drop (`signals.mask` is what is kept), to share growth by."""


def mean_aux(xp: Any, layer: Layer, signals: Signals) -> Any:
    """Mean of |aux| over the kept connections. Source: Dettmers and Zettlemoyer, 2019, section 3.3."""
    total = xp.sum(xp.where(signals.mask, xp.abs(signals.aux), xp.zeros_like(signals.aux)))
    return total / xp.maximum(xp.sum(signals.mask, dtype=xp.int32), xp.ones_like(xp.sum(signals.mask, dtype=xp.int32)))


# ---- what grown connections start at --------------------------------------------------------------------------


def uniform_value(xp: Any, layer: Layer, signals: Signals) -> Any:
    """Uniform in ±1/√fan-in, a draw of its own."""
    bound = math.sqrt(layer.shape[0] / layer.size)
    return (2 * signals.noise("value") - 1) * bound


VALUES: Mapping[str, Score | None] = MappingProxyType({"zero": None, "random": uniform_value})
"""By the name that settings know; None: they stay at 0."""


@dataclass(frozen=True)
class Method:
    """One sparse-training method.

    The settings of the update clock (`delta_t`, `alpha`, `begin`, `end`, `anneal`) are its published defaults:
    `begin` and `end` are shares of the run's length, so a training multiplier scales them; ΔT it does not.
    `unread` names those that its `when` does not look at, which are then no part of a run's identity.
    `initial_sparsity` is that of the first masks, if the planned one is not lower (None: the planned one; 0: dense).
    `pattern` says which connections may be active together (None: any); only where each layer keeps its own count.
    `active_gradient` says that it looks at the gradients of active connections alone, which every step has: its updates
    cost no dense gradient, and it is shown none.
    `rank` says how many connections each layer keeps: its own count, or a share of what is ranked with all others.
    `redistribute`: what is dropped is grown in layers in proportion to this summary (None: where it was dropped).
    `grown_value` names what grown connections start at (`VALUES`). A method `from_ticket` takes its first mask from
    another run, pruned to its own sparsity by the weights that run ended with. `narrowed` names the storage
    (`widths.STORAGES`) that a narrower dense network has as much of as the sparse one; such a run has no masks.
    `numerics` is raised whenever the method's results can change, and is part of a run's identity.
    """

    name: str
    summary: str
    source: str = ""
    numerics: int = 1
    initial_sparsity: float | None = None
    start: Score = random
    when: When = never
    drop: Score = magnitude
    grow: Score = random
    select: Select = top
    pattern: Pattern | None = None
    needs_gradient: bool = False
    active_gradient: bool = False
    delta_t: int = 100
    alpha: float = 0.3
    begin: float = 0.0
    end: float = 0.75
    anneal: str = "cosine"
    grown_value: str = "zero"
    observe: Observe | None = None
    rank: Rank = each_layer
    redistribute: Summary | None = None
    from_ticket: bool = False
    narrowed: str | None = None
    unread: frozenset[str] = frozenset()
    claims: frozenset[Law] = LAWS

    def __post_init__(self) -> None:
        if self.pattern and (self.rank is not each_layer or self.redistribute):
            raise ValueError(f"method {self.name!r} moves connections between layers, which no pattern allows yet")

    @property
    def updates(self) -> bool:
        """Whether masks ever change."""
        return self.when is not never

    @property
    def dense(self) -> bool:
        """Whether every connection stays active throughout."""
        return not self.updates and self.initial_sparsity == 0.0

    @property
    def has_sparsity(self) -> bool:
        """Whether a sparsity means anything to it; for a narrower dense network it says how narrow."""
        return not self.dense or self.narrowed is not None

    @property
    def moves_counts(self) -> bool:
        """Whether layers may end with other counts than their plan's: in the same sum, or with fewer by a pattern."""
        loose = self.pattern is not None and not self.pattern.exact
        return self.rank is not each_layer or self.redistribute is not None or loose

    @property
    def densest(self) -> float:
        """The largest density that a layer can have unless it is dense."""
        return self.pattern.densest if self.pattern else 1.0

    def first(self, sparsity: float) -> float:
        """The sparsity of the first masks in a run that is to reach this one."""
        return sparsity if self.initial_sparsity is None else min(self.initial_sparsity, sparsity)

    @property
    def value(self) -> Score | None:
        """What grown connections start at; None: 0."""
        return VALUES[self.grown_value]

    def clock(self, steps: int) -> Clock:
        """This method's update clock in a run of `steps` iterations."""
        anneal = schedules.ANNEALS[self.anneal]
        return Clock(steps, self.delta_t, self.alpha, round(self.begin * steps), round(self.end * steps), anneal)

    def events(self, steps: int) -> tuple[Event, ...]:
        """All updates of a run of `steps` iterations, in order."""
        clock = self.clock(steps)
        return tuple(event for i in range(steps) if (event := self.when(clock, i)))
