"""RigL: drop the smallest weights, grow where the dense gradient is largest, instead of the optimizer's step."""

from dataclasses import replace

from sparsebench.method import gradient_magnitude, instead_of_step
from sparsebench.methods.static import static

rigl = replace(
    static,
    name="rigl",
    summary="drops the smallest |w|, grows the largest |dense gradient|, every ΔT instead of a step",
    source="Evci et al., Rigging the Lottery: Making All Tickets Winners, ICML 2020, arXiv:1911.11134, algorithm 1",
    when=instead_of_step,
    grow=gradient_magnitude,
    needs_gradient=True,
    delta_t=100,
    alpha=0.3,
    end=0.75,
    anneal="cosine",
)
