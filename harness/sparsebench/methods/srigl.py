"""SRigL: RigL with a constant fan-in, which ablates outputs that have little left to say."""

from dataclasses import replace

from sparsebench.method import LAWS, Law
from sparsebench.methods.rigl import rigl
from sparsebench.patterns import FanIn

srigl_unablated = replace(
    rigl,
    name="srigl-unablated",
    summary="RigL where every output has as many connections (constant fan-in)",
    source="Lasby et al., Dynamic Sparse Training with Structured Sparsity, ICLR 2024, arXiv:2305.02299",
    pattern=FanIn(),
)

srigl = replace(
    srigl_unablated,
    name="srigl",
    summary="RigL with a constant fan-in, and without the outputs that have too few salient connections",
    pattern=FanIn(salient=0.3),
    claims=LAWS - {Law.EXACT_COUNTS},
)
