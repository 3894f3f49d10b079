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
    """|w| + |λ · ∂L/∂w| of the active connections: small weights that nothing pulls at go first."""
    return xp.abs(signals.weight) + LAMBDA * xp.abs(signals.gradient)


def elastic(clock: Clock, i: int) -> Event | None:
    """Every ΔT steps α of the active connections, from 3/4 of the mutation stage on half as many."""
    share = clock.alpha if i < DECAY * clock.end else clock.alpha / 2
    return Event(i, share, replaces_step=True) if clock.due(i) else None


mest = replace(
    set_,
    name="mest",
    summary="drops the smallest |w| + λ|gradient|, grows at random, the same share every ΔT",
    source="Yuan et al., MEST: Accurate and Fast Memory-Economic Sparse Training Framework on the Edge, NeurIPS 2021, "
    "arXiv:2110.14032; the variant without elastic mutation",
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
    summary="MEST with elastic mutation: drops and grows half as many towards the end",
    source="Yuan et al., MEST, NeurIPS 2021, arXiv:2110.14032; the variant MEST+EM",
    when=elastic,
    unread=frozenset({"anneal"}),
)
