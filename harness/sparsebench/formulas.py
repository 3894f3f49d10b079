"""The published training cost of each method, as a formula: a mixture of kinds of steps.

A step costs a forward pass, the gradient of the activations and the gradient of the weights (3 f); choosing which
connections to drop or grow costs nothing but a dense gradient, where the method asks for one.
Source: Evci et al., Rigging the Lottery, ICML 2020, appendix H.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sparsebench.schedules import cubic


@dataclass(frozen=True)
class Step:
    """A kind of step: `weight` is its share of all steps, `sparsity` the share of the planned sparsity in force.

    `plan` is another plan than the network's, for rounds that are sparse to another degree.
    """

    name: str
    weight: float
    sparsity: float = 1.0
    dense_gradient: bool = False
    plan: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Timing:
    """What formulas depend on, in steps of a run at 1x; the defaults are those of the paper's ImageNet runs."""

    delta_t: int = 100
    begin: int = 10_000
    end: int = 25_000
    every: int = 1_000
    steps: int = 32_000


Formula = Callable[[Timing], tuple[Step, ...]]


def dense(timing: Timing) -> tuple[Step, ...]:
    """3 f_D."""
    return (Step("dense step", 1.0, sparsity=0.0),)


def static(timing: Timing) -> tuple[Step, ...]:
    """3 f_S; SNIP's one dense gradient and SET's random growth are left out as negligible."""
    return (Step("sparse step", 1.0),)


def snfs(timing: Timing) -> tuple[Step, ...]:
    """2 f_S + f_D: the dense gradient is needed at every step."""
    return (Step("sparse step, dense gradient", 1.0, dense_gradient=True),)


def rigl(timing: Timing) -> tuple[Step, ...]:
    """(3 f_S ΔT + 2 f_S + f_D) / (ΔT + 1), for the whole run although updates end before it does."""
    period = timing.delta_t + 1
    return (
        Step("sparse step", timing.delta_t / period),
        Step("update, dense gradient", 1 / period, dense_gradient=True),
    )


def pruning(timing: Timing) -> tuple[Step, ...]:
    """E[3 f(s_i)]: the mean over i = 0, every, 2·every … steps, both ends included."""
    samples = range(0, timing.steps + 1, timing.every)
    shares = Counter(_reached(timing, i) for i in samples)
    return tuple(
        Step(f"step at {share:.2%} of the sparsity", count / len(samples), share) for share, count in shares.items()
    )


def _reached(timing: Timing, i: int) -> float:
    """Share of the planned sparsity reached at i; between two prunings it stays. Source: Zhu and Gupta, 2017, eq. 1."""
    if i >= timing.end:
        return 1.0
    pruned = max(0, i - timing.begin) // timing.every * timing.every
    return cubic(pruned / (timing.end - timing.begin))


def lottery(timing: Timing) -> tuple[Step, ...]:
    """The sum over rounds of 3 f(s_r): this is the last one; `rounds` are those before it."""
    return (Step("last round", 1.0),)


def rounds(plans: Sequence[Mapping[str, float]]) -> tuple[Step, ...]:
    """Whole trainings at these plans, each weighed as much as the last."""
    return tuple(Step(f"round {r}", 1.0, plan=plan) for r, plan in enumerate(plans))


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        "dense": dense, "small-dense": dense, "small-dense-bits": dense, "static": static, "snip": static,
        "snip-global": static, "set": static, "snfs": snfs, "snfs-redistributed": snfs, "rigl": rigl,
        "pruning": pruning, "pruning-global": pruning, "lottery": lottery, "lottery-global": lottery,
    }
)  # fmt: skip
IN_ROUNDS = ("lottery", "lottery-global")
