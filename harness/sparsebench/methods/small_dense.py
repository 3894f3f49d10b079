"""Small-dense: a narrower network trained densely. What a sparse network of the same size must beat."""

from dataclasses import replace

from sparsebench.methods.dense import dense

small_dense = replace(
    dense,
    name="small-dense",
    summary="a narrower dense network with as many weights as the sparse one has active",
    source="Evci et al., Rigging the Lottery, ICML 2020, section 4; Zhu and Gupta, 2017, arXiv:1710.01878",
    narrowed="parameters",
)

small_dense_bits = replace(
    small_dense,
    name="small-dense-bits",
    summary="a narrower dense network that takes as many bits as the sparse one's weights and masks",
    narrowed="bits",
)
