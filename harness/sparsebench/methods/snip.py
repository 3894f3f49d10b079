"""SNIP: one mask for good, chosen before training by each connection's effect on the loss of one batch."""

from dataclasses import replace

from sparsebench.method import LAWS, Law, all_layers, at_start, saliency
from sparsebench.methods.static import static

snip = replace(
    static,
    name="snip",
    summary="keeps the largest |w · gradient| of the first batch, layer by layer, then never changes",
    source="Lee et al., SNIP: Single-shot Network Pruning, ICLR 2019, arXiv:1810.02340, equation 5; layer by layer as "
    "in Evci et al., Rigging the Lottery, ICML 2020, section 4",
    initial_sparsity=0.0,
    when=at_start,
    drop=saliency,
    needs_gradient=True,
    unread=frozenset({"delta_t", "alpha", "begin", "end", "anneal", "grown_value"}),
    claims=LAWS | {Law.MONOTONE},
)

snip_global = replace(
    snip,
    name="snip-global",
    summary="keeps the largest |w · gradient| of the first batch over all layers together, then never changes",
    source="Lee et al., SNIP: Single-shot Network Pruning, ICLR 2019, arXiv:1810.02340, algorithm 1",
    rank=all_layers,
)
