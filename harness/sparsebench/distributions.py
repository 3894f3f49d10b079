"""How one global sparsity is shared out over layers: uniform, Erdős–Rényi (ER) and its kernel form (ERK).

Plain float64 Python on shapes; no framework. A layer of N entries at sparsity s has exactly N − ⌊s·N⌋ active.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from sparsebench.errors import UserError
from sparsebench.layers import Layer

Sparsities = dict[str, float]
Ratio = Callable[[Layer], float]


@dataclass(frozen=True)
class Apart:
    """Layers that a distribution does not choose for, and how dense those may be that it does.

    `own` maps a layer to a sparsity of its own; it is outside the budget. `dense` layers are inside: they are dense
    and the others pay for it. No other layer is denser than `densest`; the whole must be at least as sparse as that.
    """

    own: Mapping[str, float] = field(default_factory=dict[str, float])
    dense: frozenset[str] = frozenset()
    densest: float = 1.0


Distribution = Callable[[Sequence[Layer], float, Apart | None], Sparsities]
"""(layers, sparsity, what stands apart; None: the distribution's own rule) -> the sparsity of every layer."""

NOTHING = Apart()


def active(size: int, sparsity: float) -> int:
    """Active entries of a layer of `size` entries: N − ⌊s·N⌋, floored in float64."""
    return size - math.floor(sparsity * size)


def uniform(layers: Sequence[Layer], sparsity: float, apart: Apart | None = None) -> Sparsities:
    """Every layer at the global sparsity; by its own rule, the first convolution (if there is one) stays dense.

    Source: Evci et al., Rigging the Lottery, ICML 2020, section 3 (1).
    """
    apart = Apart(first_convolution(layers)) if apart is None else apart
    shared = _raised(layers, sparsity, apart) if apart.dense else sparsity
    return {layer.name: apart.own.get(layer.name, 0.0 if layer.name in apart.dense else shared) for layer in layers}


def first_convolution(layers: Sequence[Layer]) -> Sparsities:
    """The first convolution, dense."""
    return {layer.name: 0.0 for layer in [layer for layer in layers if layer.kind == "conv"][:1]}


def _raised(layers: Sequence[Layer], sparsity: float, apart: Apart) -> float:
    """The sparsity of the others that makes up for layers kept dense within the budget."""
    budgeted = sum(layer.size for layer in layers if layer.name not in apart.own)
    kept = sum(layer.size for layer in layers if layer.name in apart.dense)
    if sparsity * budgeted >= budgeted - kept:
        raise _overdrawn(sparsity)
    return sparsity * budgeted / (budgeted - kept)


# ---- Erdős–Rényi ----------------------------------------------------------------------------------------------


def erdos_renyi(layer: Layer) -> float:
    """ER's ratio (n_in + n_out) / (n_in · n_out). Source: Mocanu et al., 2018, eq. 1."""
    n_out, n_in = layer.shape[:2]
    return (n_in + n_out) / (n_in * n_out)


def erdos_renyi_kernel(layer: Layer) -> float:
    """ERK's ratio (n_in + n_out + k_h + k_w) / (n_in · n_out · k_h · k_w). Source: Evci et al., 2020, section 3."""
    return sum(layer.shape) / math.prod(layer.shape)


def er(layers: Sequence[Layer], sparsity: float, apart: Apart | None = None) -> Sparsities:
    """Density proportional to ER's ratio at the global parameter count."""
    return _proportional(layers, sparsity, erdos_renyi, apart or NOTHING)


def erk(layers: Sequence[Layer], sparsity: float, apart: Apart | None = None) -> Sparsities:
    """Density proportional to ERK's ratio at the global parameter count; fully connected layers use ER."""
    return _proportional(layers, sparsity, erdos_renyi_kernel, apart or NOTHING)


@dataclass(frozen=True)
class Solution:
    """Density min(densest, ε·r): `epsilon` (None: no layer is left below) and the layers that saturated."""

    epsilon: float | None
    saturated: frozenset[str]


def solve(layers: Sequence[Layer], sparsity: float, ratio: Ratio, apart: Apart = NOTHING) -> Solution:
    """ε, solved again each time the layers with the largest r saturate at the density that is allowed.

    Raises:
        UserError: the layers kept dense within the budget are larger than it.
    """
    dense = [layer for layer in layers if layer.name in apart.dense]
    free = [layer for layer in layers if layer.size and layer.name not in apart.dense and layer.name not in apart.own]
    saturated: list[Layer] = []
    while free:
        epsilon = _epsilon(free, dense, saturated, sparsity, ratio, apart.densest)
        largest = max(ratio(layer) for layer in free)
        if epsilon * largest <= apart.densest:
            return Solution(epsilon, _names(saturated))
        saturated += [layer for layer in free if ratio(layer) == largest]
        free = [layer for layer in free if ratio(layer) != largest]
    return Solution(None, _names(saturated))


def _names(layers: Sequence[Layer]) -> frozenset[str]:
    return frozenset(layer.name for layer in layers)


def _epsilon(
    free: Sequence[Layer],
    dense: Sequence[Layer],
    saturated: Sequence[Layer],
    sparsity: float,
    ratio: Ratio,
    densest: float,
) -> float:
    budget = sum(active(layer.size, sparsity) for layer in free)
    overdraft = sum(math.floor(sparsity * layer.size) for layer in dense)
    overdraft += sum(active(layer.size, 1 - densest) - active(layer.size, sparsity) for layer in saturated)
    if budget <= overdraft:
        raise _overdrawn(sparsity)
    return (budget - overdraft) / sum(ratio(layer) * layer.size for layer in free)


def _proportional(layers: Sequence[Layer], sparsity: float, ratio: Ratio, apart: Apart) -> Sparsities:
    solution = solve(layers, sparsity, ratio, apart)

    def share(layer: Layer) -> float:
        if layer.name in apart.dense or not layer.size:
            return 0.0
        if layer.name in solution.saturated or solution.epsilon is None:
            return 1.0 - apart.densest
        return 1.0 - min(apart.densest, solution.epsilon * ratio(layer))

    return {layer.name: apart.own[layer.name] if layer.name in apart.own else share(layer) for layer in layers}


def _overdrawn(sparsity: float) -> UserError:
    return UserError(
        f"sparsity {sparsity:g} leaves nothing for the other layers once some are kept dense within the budget: "
        "lower the sparsity, or keep those layers outside the budget"
    )


DISTRIBUTIONS: Mapping[str, Distribution] = MappingProxyType({"uniform": uniform, "er": er, "erk": erk})
RATIOS: Mapping[str, Ratio] = MappingProxyType({"er": erdos_renyi, "erk": erdos_renyi_kernel})
"""Of the distributions that solve for ε."""
