"""SNFS (sparse momentum): drop the smallest weights, grow where the mean of past dense gradients is largest."""

from dataclasses import replace
from typing import Any

from sparsebench.layers import Layer
from sparsebench.method import aux_magnitude, mean_aux
from sparsebench.methods.set import set_

DECAY = 0.9


def observe(xp: Any, layer: Layer, aux: Any, weight: Any, gradient: Any) -> Any:
    """Exponential mean of the dense gradients, m ← 0.9 · m + 0.1 · g; from 0, which changes no order."""
    return DECAY * aux + (1 - DECAY) * gradient


snfs = replace(
    set_,
    name="snfs",
    summary="drops the smallest |w|, grows the largest |mean of dense gradients|, every ΔT after a step",
    source="Dettmers and Zettlemoyer, Sparse Networks from Scratch, 2019, arXiv:1907.04840, algorithm 1; without "
    "redistribution as in Evci et al., Rigging the Lottery, ICML 2020",
    grow=aux_magnitude,
    observe=observe,
)

snfs_redistributed = replace(
    snfs,
    name="snfs-redistributed",
    summary="SNFS that grows in layers in proportion to the mean |momentum| of what they kept",
    source="Dettmers and Zettlemoyer, Sparse Networks from Scratch, 2019, arXiv:1907.04840, algorithm 1",
    redistribute=mean_aux,
)
