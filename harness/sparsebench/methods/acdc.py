"""AC/DC: phases of dense and of sparse training by turns, the last one sparse."""

from dataclasses import replace

from sparsebench.method import Clock, Event, all_layers
from sparsebench.methods.static import static


def when(clock: Clock, i: int) -> Event | None:
    """Compressed at begin, dense again ΔT later, and so on; compressed for good at end, after a dense phase."""
    phase, within = divmod(i - clock.begin, clock.delta_t)
    if i == clock.end:
        return Event(i)
    compresses = phase % 2 == 0
    if phase < 0 or within or i + clock.delta_t * (1 + compresses) > clock.end:
        return None
    return Event(i, sparsity_share=float(compresses))


acdc = replace(
    static,
    name="acdc",
    summary="dense and sparse training by turns: prunes the smallest |w|, grows all back at 0, ends sparse",
    source="Peste et al., AC/DC: Alternating Compressed/DeCompressed Training of Deep Neural Networks, NeurIPS 2021, "
    "arXiv:2106.12379",
    initial_sparsity=0.0,
    when=when,
    delta_t=1600,
    begin=0.1,
    end=0.85,
    unread=frozenset({"alpha", "anneal"}),
)

acdc_global = replace(
    acdc,
    name="acdc-global",
    summary="AC/DC that prunes all layers together, as published",
    rank=all_layers,
)
