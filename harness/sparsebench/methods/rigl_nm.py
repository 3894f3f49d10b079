"""RigL under N:M sparsity: the same rule, in masks that sparse tensor cores can multiply by."""

from dataclasses import replace

from sparsebench.methods.rigl import rigl
from sparsebench.patterns import NM

rigl_2_4 = replace(
    rigl,
    name="rigl-2-4",
    summary="RigL where of each 4 consecutive inputs at most 2 are connected (2:4 sparsity)",
    source="rule: Evci et al., Rigging the Lottery, ICML 2020, arXiv:1911.11134, algorithm 1; pattern: Mishra et al., "
    "Accelerating Sparse Deep Neural Networks, 2021, arXiv:2104.08378",
    pattern=NM(2, 4),
)
