"""The published account: what papers say a method costs on a network, from its formula, without training anything.

Densities are the planned ones, not rounded to whole connections. What a convention has no rule for is `UNKNOWN`, and
so is every sum it enters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsebench.conventions import Convention
from sparsebench.formulas import Step
from sparsebench.layers import Layer


@dataclass(frozen=True)
class Cost:
    """FLOPs of one sample, by kind."""

    forward: float = 0.0
    activation_gradient: float = 0.0
    weight_gradient: float = 0.0

    @property
    def total(self) -> float:
        """All three."""
        return self.forward + self.activation_gradient + self.weight_gradient

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forward + other.forward,
            self.activation_gradient + other.activation_gradient,
            self.weight_gradient + other.weight_gradient,
        )

    def times(self, weight: float) -> Cost:
        """That share of it."""
        return Cost(weight * self.forward, weight * self.activation_gradient, weight * self.weight_gradient)


@dataclass(frozen=True)
class Account:
    """A network's cost under a formula and a convention.

    `sparsities` is the plan of every layer, which training ends at, `first` the one that it starts from (None: dense);
    `input_gradient` says whether the first layer's activation gradient, which nothing needs, is counted.
    """

    layers: Sequence[Layer]
    sparsities: Mapping[str, float]
    steps: Sequence[Step]
    convention: Convention
    input_gradient: bool = True
    first: Mapping[str, float] | None = None

    def cost(self, layer: Layer, step: Step) -> Cost:
        """One layer in one step of that kind."""
        forward = self.convention(layer, 1 - self._sparsity(layer, step))
        backward = forward if self.input_gradient or layer != self.layers[0] else 0.0
        return Cost(forward, backward, self.convention(layer, 1.0) if step.dense_gradient else forward)

    def _sparsity(self, layer: Layer, step: Step) -> float:
        if step.plan is not None:
            return step.plan[layer.name]
        first = self.first[layer.name] if self.first else 0.0
        return (1 - step.sparsity) * first + step.sparsity * self.sparsities[layer.name]

    def of_layer(self, layer: Layer) -> Cost:
        """One layer, in the mean over all steps."""
        return sum((self.cost(layer, step).times(step.weight) for step in self.steps), Cost())

    def of_step(self, step: Step) -> Cost:
        """The network in one step of that kind."""
        return sum((self.cost(layer, step) for layer in self.layers), Cost())

    @property
    def training(self) -> float:
        """FLOPs of one training sample, in the mean over all steps."""
        return sum(self.of_layer(layer).total for layer in self.layers)

    @property
    def inference(self) -> float:
        """FLOPs of one forward pass at the plan."""
        return sum(self.convention(layer, 1 - self.sparsities[layer.name]) for layer in self.layers)

    @property
    def unknown(self) -> list[str]:
        """The layers that the convention has no rule for."""
        return [layer.name for layer in self.layers if math.isnan(self.convention(layer, 1.0))]
