"""The published training cost of each method, as a formula: a mixture of kinds of steps.

A step costs a forward pass, the gradient of the activations and the gradient of the weights (3 f); choosing which
connections to drop or grow costs nothing but a dense gradient, where the method asks for one.
Source: Evci et al., Rigging the Lottery, ICML 2020, appendix H.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sparsebench.schedules import cubic


@dataclass(frozen=True)
class Step:
    """A kind of step: `weight` is its share of all steps, `sparsity` how far it is from the first plan to the last.

    The first plan is dense unless the method starts sparser; `plan` is another than those two, for rounds that are
    sparse to another degree.
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


TIMINGS: Mapping[str, Timing] = MappingProxyType(
    {
        "rigl-itop": Timing(delta_t=4_000),
        "granet": Timing(delta_t=1_000, begin=0, end=42_900, steps=62_400),  # 110 of 160 epochs, 390 steps each
        "granet-global": Timing(delta_t=1_000, begin=0, end=42_900, steps=62_400),
        "acdc": Timing(delta_t=1_600, begin=3_200, end=27_200),  # 5, 10 and 85 of 100 epochs
        "acdc-global": Timing(delta_t=1_600, begin=3_200, end=27_200),
    }
)
"""Those of other papers, for their methods."""

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


def granet(timing: Timing) -> tuple[Step, ...]:
    """E[(3 f(s_i) ΔT + 2 f(s_i) + f_D) / (ΔT + 1)]: RigL's, in the mean over the periods between two updates.

    That is the cost at the mean sparsity, since a layer's cost is its density times a constant, and another one.
    """
    periods = range(0, timing.steps, timing.delta_t)
    pruned = (max(0, i - timing.begin) / (timing.end - timing.begin) for i in periods)
    mean = sum(cubic(min(1.0, progress)) for progress in pruned) / len(periods)
    return tuple(replace(step, name=f"{step.name}, {mean:.2%} of the way", sparsity=mean) for step in rigl(timing))


def acdc(timing: Timing) -> tuple[Step, ...]:
    """E[3 f(s_i)]: f_D while dense, f_S while compressed, by turns from begin to end and compressed from there on."""
    phases = (timing.end - timing.begin) // timing.delta_t // 2
    compressed = (phases * timing.delta_t + timing.steps - timing.end) / timing.steps
    return (Step("dense step", 1 - compressed, sparsity=0.0), Step("compressed step", compressed))


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
        "rigl-2-4": rigl, "srigl": rigl, "srigl-unablated": rigl, "rigl-itop": rigl, "set-itop": static,
        "granet": granet, "granet-global": granet, "acdc": acdc, "acdc-global": acdc,
    }
)  # fmt: skip
IN_ROUNDS = ("lottery", "lottery-global")
