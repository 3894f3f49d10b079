"""MEST: drops where weight and gradient are small, grows at random; it never needs a dense gradient."""

from dataclasses import replace
from typing import Any

from sparsebench.layers import Layer
from sparsebench.method import Clock, Event, Local, Signals, instead_of_step
from sparsebench.methods.set import set_

LAMBDA = 0.5  # the default of --sp-lmd in the authors' code; a power of two, so that no compiler rounds differently
DECAY = 0.75  # of the mutation stage: epoch 90 of 120 in the authors' example


@Local
def importance(xp: Any, layer: Layer, signals: Signals) -> Any:
    """|w| + λ · |∂L/∂w| of the active connections: small weights that nothing pulls at go first."""
    return xp.abs(signals.weight) + LAMBDA * xp.abs(signals.gradient)


def share(clock: Clock, i: int) -> float:
    """α, and half of it in the last quarter of the mutation stage."""
    return clock.alpha if i < DECAY * clock.end else clock.alpha / 2


def elastic(clock: Clock, i: int) -> Event | None:
    """Every ΔT steps: drop that share of what is active, grow as many."""
    return Event(i, share(clock, i), replaces_step=True) if clock.due(i) else None


def soft(clock: Clock, i: int) -> Event | None:
    """Every ΔT steps: drop what is beyond the plan, then grow that share beyond it; at the end only drop."""
    if i == min(clock.end, clock.steps - 1):
        return Event(i, replaces_step=True)
    return Event(i, overgrowth=share(clock, i), replaces_step=True) if clock.due(i) else None


mest = replace(
    set_,
    name="mest",
    summary="drops the smallest |w| + λ|gradient|, grows at random, the same share every ΔT",
    source="Yuan et al., MEST: Accurate and Fast Memory-Economic Sparse Training Framework on the Edge, NeurIPS 2021, "
    "arXiv:2110.14032; without elastic mutation",
    when=instead_of_step,
    drop=importance,
    needs_gradient=True,
    active_gradient=True,
    alpha=0.2,
    anneal="constant",
)

mest_em = replace(
    mest,
    name="mest-em",
    summary="MEST with elastic mutation: half the share towards the end",
    source="Yuan et al., MEST, NeurIPS 2021, arXiv:2110.14032; the variant MEST+EM",
    when=elastic,
    unread=frozenset({"anneal"}),
)

mest_ems = replace(
    mest_em,
    name="mest-ems",
    summary="MEST with elastic mutation and a soft memory bound: grows beyond its sparsity, then drops back to it",
    source="Yuan et al., MEST, NeurIPS 2021, arXiv:2110.14032; the variant MEST+EM&S",
    when=soft,
)
