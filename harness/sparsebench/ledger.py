"""What a run executed, in FLOPs, per layer and kind, each at the density of its iteration.

Convention `plain`: 2 FLOPs per multiply-add, convolution and fully connected layers only, true output sizes. A
training step costs a forward pass, the gradient of the activations and the gradient of the weights, each at the
layer's density; where a method asks for the dense gradient of the weights, that costs the dense price and is entered
as a kind of its own. Counts are exact integers; what has no rule is `UNKNOWN`, and so is every sum it enters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sparsebench.conventions import UNKNOWN
from sparsebench.layers import Layer
from sparsebench.method import Method

Active = Mapping[str, int]
KINDS = ("forward", "activation_gradient", "weight_gradient", "dense_weight_gradient")


def forward(layers: Sequence[Layer], active: Active) -> float:
    """FLOPs of one sample's forward pass with these active counts: Σ 2 · macs · active / size."""
    return sum(_flops(layer, active) for layer in layers)


def dense(layers: Sequence[Layer]) -> float:
    """FLOPs of one sample's forward pass with every connection active."""
    return sum(UNKNOWN if layer.kind == "other" else 2 * layer.macs for layer in layers)


def _flops(layer: Layer, active: Active) -> float:
    if layer.kind == "other":
        return UNKNOWN
    return 2 * (layer.macs // layer.size) * active[layer.name] if layer.size else 0


@dataclass
class Ledger:
    """The running account of one run on `batch` samples a step; of a run that is continued, what it had executed."""

    layers: Sequence[Layer]
    batch: int
    executed: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def __post_init__(self) -> None:
        self.executed = self.executed or {layer.name: dict.fromkeys(KINDS, 0) for layer in self.layers}

    def steps(self, count: int, active: Active) -> None:
        """Enter `count` optimizer steps: 3 f_S each."""
        for kind in ("forward", "activation_gradient", "weight_gradient"):
            self._enter(kind, count, active)

    def observed_steps(self, count: int, active: Active) -> None:
        """Enter `count` optimizer steps of a method that looks at every dense gradient: 2 f_S + f_D each."""
        for kind in ("forward", "activation_gradient"):
            self._enter(kind, count, active)
        self._enter("dense_weight_gradient", count, {layer.name: layer.size for layer in self.layers})

    def dense_gradient(self, active: Active) -> None:
        """Enter one pass that takes the dense gradient of the weights and no step: 2 f_S + f_D."""
        for kind in ("forward", "activation_gradient"):
            self._enter(kind, 1, active)
        self._enter("dense_weight_gradient", 1, {layer.name: layer.size for layer in self.layers})

    def update(self, method: Method, active: Active) -> None:
        """Enter the gradient that a mask update takes, if its method needs one; choosing connections costs nothing."""
        if method.needs_gradient:
            (self.steps(1, active) if method.active_gradient else self.dense_gradient(active))

    def _enter(self, kind: str, count: int, active: Active) -> None:
        for layer in self.layers:
            self.executed[layer.name][kind] += count * self.batch * _flops(layer, active)

    def totals(self) -> dict[str, float]:
        """FLOPs of the run so far, by kind."""
        return {kind: sum(row[kind] for row in self.executed.values()) for kind in KINDS}
