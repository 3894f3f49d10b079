"""What happens to the layers a distribution may leave alone: stem, depthwise kernels, classifier.

A model's specification declares it for each distribution; whoever runs it may override it, and it is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sparsebench.distributions import DISTRIBUTIONS, Apart, Sparsities, first_convolution
from sparsebench.errors import UserError, unknown
from sparsebench.layers import Layer, Role

Choice = Literal["sparse", "dense", "within"]
"""In the budget; dense and outside of it; dense, and the others pay for it."""


@dataclass(frozen=True)
class Policy:
    """The choice for each of the special roles; every other layer is in the budget."""

    stem: Choice = "sparse"
    depthwise: Choice = "sparse"
    classifier: Choice = "sparse"

    def choices(self) -> dict[Role, Choice]:
        """By role."""
        return {"stem": self.stem, "depthwise": self.depthwise, "classifier": self.classifier}


STANDARD: Mapping[str, Policy] = MappingProxyType({"uniform": Policy(stem="dense"), "er": Policy(), "erk": Policy()})
"""Where a specification declares nothing. Source: Evci et al., Rigging the Lottery, ICML 2020, section 3 (1)."""

EVERY_LAYER: Mapping[str, Policy] = MappingProxyType(dict.fromkeys(DISTRIBUTIONS, Policy()))


def members(layers: Sequence[Layer], role: Role) -> tuple[str, ...]:
    """The layers of a role; a table that names no stem has its first convolution for one."""
    named = tuple(layer.name for layer in layers if layer.role == role)
    return tuple(first_convolution(layers)) if role == "stem" and not named else named


def apart(
    layers: Sequence[Layer], policy: Policy, own: Mapping[str, float] | None = None, densest: float = 1.0
) -> Apart:
    """What a distribution must leave alone; `own` sparsities of single layers come before the policy.

    What it chooses itself is at most as dense as `densest`.

    Raises:
        UserError: `own` names a layer that is not there, or is not a sparsity.
    """
    _check_own(layers, own or {})
    chosen = {name: choice for role, choice in policy.choices().items() for name in members(layers, role)}
    outside = {name: 0.0 for name, choice in chosen.items() if choice == "dense"} | dict(own or {})
    within = {name for name, choice in chosen.items() if choice == "within"}
    return Apart(outside, frozenset(within - set(outside)), densest)


def plan(
    layers: Sequence[Layer], distribution: str, sparsity: float, policy: Policy, densest: float = 1.0
) -> Sparsities:
    """The sparsity of every layer.

    Raises:
        UserError: the layers kept dense within the budget are larger than it.
    """
    return DISTRIBUTIONS[distribution](layers, sparsity, apart(layers, policy, densest=densest))


def _check_own(layers: Sequence[Layer], own: Mapping[str, float]) -> None:
    names = {layer.name for layer in layers}
    for name, sparsity in own.items():
        if name not in names:
            raise unknown("layer", name, names)
        if not 0 <= sparsity < 1:
            raise UserError(f"layer {name!r}: a sparsity of its own must be at least 0 and below 1, given {sparsity:g}")
