"""GraNet: gradual pruning from half dense, and after each pruning some connections are exchanged by RigL's rule."""

from dataclasses import replace

from sparsebench.method import Clock, Event, all_layers
from sparsebench.methods.rigl import rigl
from sparsebench.schedules import cubic


def when(clock: Clock, i: int) -> Event | None:
    """Every ΔT from begin on, and at end: s(i) rises as a cubic up to there, f(i) falls to 0 at the end of training."""
    if i != clock.end and (i % clock.delta_t or i < max(clock.begin, clock.delta_t)):
        return None
    progress = min(1.0, (i - clock.begin) / (clock.end - clock.begin))
    fraction = clock.anneal(clock.alpha, i / clock.steps)
    return Event(i, fraction, cubic(progress), replaces_step=True)


granet = replace(
    rigl,
    name="granet",
    summary="starts half dense, prunes along a cubic and after each pruning regrows by gradient what it drops again",
    source="Liu et al., Sparse Training via Boosting Pruning Plasticity with Neuroregeneration, NeurIPS 2021, "
    "arXiv:2106.10404",
    initial_sparsity=0.5,
    when=when,
    delta_t=1000,
    alpha=0.5,
    end=0.6875,
)

granet_global = replace(
    granet,
    name="granet-global",
    summary="GraNet that prunes all layers together, as its code does",
    rank=all_layers,
)
