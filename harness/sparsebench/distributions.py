"""How one global sparsity is shared out over layers: uniform, Erdős–Rényi (ER) and its kernel form (ERK).

Plain float64 Python on shapes; no framework. A layer of N entries at sparsity s has exactly N − ⌊s·N⌋ active.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from sparsebench.layers import Layer

Sparsities = dict[str, float]
Distribution = Callable[[Sequence[Layer], float], Sparsities]


def active(size: int, sparsity: float) -> int:
    """Active entries of a layer of `size` entries: N − ⌊s·N⌋, floored in float64."""
    return size - math.floor(sparsity * size)


def uniform(layers: Sequence[Layer], sparsity: float) -> Sparsities:
    """Every layer at the global sparsity; in networks with convolutions the first of them stays dense.

    Source: Evci et al., Rigging the Lottery, ICML 2020, section 3 (1).
    """
    stem = next((layer.name for layer in layers if layer.kind == "conv"), None)
    return {layer.name: 0.0 if layer.name == stem else sparsity for layer in layers}


def erdos_renyi(layer: Layer) -> float:
    """ER's ratio (n_in + n_out) / (n_in · n_out). Source: Mocanu et al., 2018, eq. 1."""
    n_out, n_in = layer.shape[:2]
    return (n_in + n_out) / (n_in * n_out)


def erdos_renyi_kernel(layer: Layer) -> float:
    """ERK's ratio (n_in + n_out + k_h + k_w) / (n_in · n_out · k_h · k_w). Source: Evci et al., 2020, section 3."""
    return sum(layer.shape) / math.prod(layer.shape)


def er(layers: Sequence[Layer], sparsity: float) -> Sparsities:
    """Density proportional to ER's ratio at the global parameter count."""
    return _proportional(layers, sparsity, erdos_renyi)


def erk(layers: Sequence[Layer], sparsity: float) -> Sparsities:
    """Density proportional to ERK's ratio at the global parameter count; fully connected layers use ER."""
    return _proportional(layers, sparsity, erdos_renyi_kernel)


def _proportional(layers: Sequence[Layer], sparsity: float, ratio: Callable[[Layer], float]) -> Sparsities:
    """Density min(1, ε·r): ε is solved again each time the layers with the largest r saturate at density 1."""
    dense: list[Layer] = []
    free = [layer for layer in layers if layer.size]
    scale = math.inf
    while free:
        scale = _epsilon(free, dense, sparsity, ratio)
        largest = max(ratio(layer) for layer in free)
        if scale * largest <= 1.0:
            break
        dense += [layer for layer in free if ratio(layer) == largest]
        free = [layer for layer in free if ratio(layer) != largest]
    shares = {layer.name: 1.0 - min(1.0, scale * ratio(layer)) for layer in free}
    return {layer.name: shares.get(layer.name, 0.0) for layer in layers}


def _epsilon(free: Sequence[Layer], dense: Sequence[Layer], sparsity: float, ratio: Callable[[Layer], float]) -> float:
    budget = sum(active(layer.size, sparsity) for layer in free)
    overdraft = sum(math.floor(sparsity * layer.size) for layer in dense)
    return (budget - overdraft) / sum(ratio(layer) * layer.size for layer in free)


DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType({"uniform": uniform, "er": er, "erk": erk})
