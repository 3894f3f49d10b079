"""Lottery tickets: train, prune by magnitude, rewind, again. A round is a run that starts from the one before."""

from dataclasses import replace

from sparsebench.method import all_layers
from sparsebench.methods.static import static

lottery = replace(
    static,
    name="lottery",
    summary="the mask of a longer search: trained, pruned by |w| layer by layer, rewound, round after round",
    source="Frankle and Carbin, The Lottery Ticket Hypothesis, ICLR 2019, arXiv:1803.03635, section 1; rewinding to "
    "step k: Frankle et al., ICML 2020, arXiv:1912.05671",
    from_ticket=True,
)

lottery_global = replace(
    lottery,
    name="lottery-global",
    summary="lottery tickets pruned by |w| over all layers together",
    rank=all_layers,
)
