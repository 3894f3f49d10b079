"""Gradual magnitude pruning: starts dense, each layer's sparsity rises as a cubic; nothing pruned returns."""

from dataclasses import replace

from sparsebench.method import LAWS, Clock, Event, Law, all_layers
from sparsebench.methods.static import static
from sparsebench.schedules import cubic


def when(clock: Clock, i: int) -> Event | None:
    """Every ΔT from begin to end, both included, and at end whatever ΔT is: s(i) = s · (1 − (1 − u)³)."""
    if not clock.begin <= i <= clock.end or ((i - clock.begin) % clock.delta_t and i != clock.end):
        return None
    progress = (i - clock.begin) / (clock.end - clock.begin)
    return Event(i, sparsity_share=cubic(progress))


pruning = replace(
    static,
    name="pruning",
    summary="starts dense, prunes the smallest |w| along a cubic schedule",
    source="Zhu and Gupta, To prune, or not to prune, 2017, arXiv:1710.01878, equation 1; begin and end as in "
    "Gale et al., The State of Sparsity, 2019 (10k and 25k of 32k steps)",
    initial_sparsity=0.0,
    when=when,
    begin=0.3125,
    end=0.78125,
    unread=frozenset({"alpha", "anneal", "grown_value"}),
    claims=LAWS | {Law.MONOTONE},
)

pruning_global = replace(
    pruning,
    name="pruning-global",
    summary="starts dense, prunes the smallest |w| of all layers together along a cubic schedule",
    rank=all_layers,
)
