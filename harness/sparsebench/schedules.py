"""Host-side float64 functions of the iteration: the share of connections to change, and the learning rate.

They are evaluated here and passed in; nothing is ever read from an optimizer's own counter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

Anneal = Callable[[float, float], float]
"""(start value, progress in [0, 1]) -> value."""


def cosine(start: float, progress: float) -> float:
    """start/2 · (1 + cos(π·progress)). Source: Evci et al., 2020, section 3 (2); Loshchilov and Hutter, 2017."""
    return start / 2 * (1 + math.cos(math.pi * progress))


def constant(start: float, progress: float) -> float:  # the signature all schedules share
    """The start value, always."""
    return start


def linear(start: float, progress: float) -> float:
    """start · (1 − progress). Source: Evci et al., 2020, appendix: inverse power with k = 1."""
    return start * (1 - progress)


def inverse_power(start: float, progress: float) -> float:
    """start · (1 − progress)³. Source: Evci et al., 2020, appendix: inverse power with k = 3."""
    return start * (1 - progress) ** 3


def cubic(progress: float) -> float:
    """Share of the final sparsity reached by gradual pruning, 1 − (1 − u)³. Source: Zhu and Gupta, 2017, eq. 1."""
    return 1 - (1 - progress) ** 3


ANNEALS: Mapping[str, Anneal] = MappingProxyType(
    {"cosine": cosine, "constant": constant, "linear": linear, "inverse-power": inverse_power}
)


def falling(start: float, milestones: Sequence[float], decay: float, iteration: int) -> float:
    """start · decayⁿ after n milestones: the iteration of a milestone is the first with the lower value."""
    return start * decay ** sum(iteration >= milestone for milestone in milestones)


def warming(warmup: float, iteration: int) -> float:
    """What the learning rate is multiplied by: i / warmup, at most 1; iteration 0 of a warm-up has rate 0.

    Source: the RigL code's schedule for ImageNet, after Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
    """
    return min(1.0, iteration / warmup) if warmup else 1.0


RATES: Mapping[str, Anneal] = MappingProxyType({"cosine": cosine, "constant": constant})
"""Learning rates over a whole run; the third schedule is `falling`."""
