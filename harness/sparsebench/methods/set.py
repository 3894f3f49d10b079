"""SET: RigL's ancestor, which grows at random and after the optimizer's step."""

from dataclasses import replace

from sparsebench.method import after_step, random
from sparsebench.methods.rigl import rigl

set_ = replace(
    rigl,
    name="set",
    summary="drops the smallest |w|, grows at random, every ΔT after a step",
    source="Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity, "
    "Nature Communications 2018, arXiv:1707.04780, algorithm 2",
    when=after_step,
    grow=random,
    needs_gradient=False,
)
