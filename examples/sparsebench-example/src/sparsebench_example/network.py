"""What the framework does in other backends: a network's outputs, its gradients, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsebench.config import Recipe
from sparsebench.models import Input

Array = NDArray[np.float32]
Parameters = dict[str, Array]
"""Canonical name (`fc1.weight`) -> array in canonical layout: (out, in) and (out,)."""


@dataclass(frozen=True)
class Perceptron:
    """Linear layers with ReLU between them, on flattened images; their sizes are those of the weights."""

    layers: tuple[str, ...]

    def logits(self, parameters: Parameters, images: Array) -> Array:
        """(samples, classes)."""
        return self._activations(parameters, images)[-1]

    def gradients(
        self, parameters: Parameters, images: Array, labels: NDArray[np.int32], smoothing: float
    ) -> tuple[float, Parameters]:
        """Mean cross-entropy over the samples, and its gradient with respect to every parameter."""
        *inputs, logits = self._activations(parameters, images)
        losses, slope = cross_entropy(logits, labels, smoothing)
        slope /= np.float32(len(labels))
        gradients: Parameters = {}
        for name, given in reversed(list(zip(self.layers, inputs, strict=True))):
            gradients[f"{name}.weight"], gradients[f"{name}.bias"] = slope.T @ given, slope.sum(0)
            if name != self.layers[0]:
                slope = slope @ parameters[f"{name}.weight"] * (given > 0)
        return float(losses.mean()), gradients

    def _activations(self, parameters: Parameters, images: Array) -> list[Array]:
        """What each layer is given, and the logits."""
        found = [images.reshape(len(images), -1)]
        for name in self.layers:
            outputs = found[-1] @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]
            found.append(outputs if name == self.layers[-1] else np.maximum(outputs, 0))
        return found


def lenet_300_100(input: Input) -> Perceptron:
    """The builder for the model of that name."""
    return Perceptron(("fc1", "fc2", "fc3"))


def cross_entropy(logits: Array, labels: NDArray[np.int32], smoothing: float = 0.0) -> tuple[Array, Array]:
    """Each sample's loss, and its gradient with respect to the logits; `smoothing` is spread over all classes."""
    shifted = logits - logits.max(1, keepdims=True)
    likelihoods = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    wanted = np.full_like(logits, smoothing / logits.shape[1])
    wanted[np.arange(len(labels)), labels] += 1 - smoothing
    return -(wanted * likelihoods).sum(1), np.exp(likelihoods) - wanted


def sgd(
    parameters: Parameters, velocities: Parameters, gradients: Mapping[str, Array], rate: float, recipe: Recipe
) -> None:
    """One step in place: v ← μ·v + g + λ·w, w ← w − rate·v; λ on kernels only; Nesterov's step is g + λ·w + μ·v."""
    for name, weight in parameters.items():
        slope = gradients[name] + recipe.weight_decay * weight if weight.ndim > 1 else gradients[name]
        velocity = velocities[name]
        velocity *= recipe.momentum
        velocity += slope
        weight -= rate * (slope + recipe.momentum * velocity if recipe.nesterov else velocity)
