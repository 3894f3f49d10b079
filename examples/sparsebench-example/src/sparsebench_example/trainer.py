"""SparseTrainer: what the harness asks of a backend. Masks and batches come from the harness, the rest from `network`.

The laws are in `sparsebench.trainer.SparseTrainer`; `sparsebench check` tests them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsebench.data.feed import Feed
from sparsebench.data.host import HostData
from sparsebench.layers import Layer
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Method, Observe, Signals
from sparsebench.models import Arrays, builder
from sparsebench.rewiring import Rewired, host_signals, rewire_layers
from sparsebench.trainer import FrameworkCount, Metrics, Report, Tally, Task
from sparsebench_example.network import Parameters, Perceptron, cross_entropy, sgd


@dataclass
class State:
    """A run in the middle, in arrays of canonical layout: by parameter, and by layer for masks and what is observed."""

    task: Task
    network: Perceptron
    parameters: Parameters
    velocities: Parameters
    masks: Masks
    aux: Parameters = field(default_factory=dict[str, NDArray[np.float32]])

    def apply_masks(self) -> None:
        """Weights become exactly zero outside their mask."""
        for name, mask in self.masks.items():
            self.parameters[f"{name}.weight"] *= mask

    def observe(self, observe: Observe, gradients: Parameters) -> None:
        """Let the method see this batch's dense gradients."""
        for layer in self.task.layers:
            if layer.name in self.masks:
                weight = self.parameters[f"{layer.name}.weight"]
                aux = self.aux.get(layer.name, np.zeros_like(weight))
                self.aux[layer.name] = observe(np, layer, aux, weight, gradients[f"{layer.name}.weight"])

    def signals(self, layer: Layer, seed: int, event: Event, gradients: Parameters) -> Signals:
        """What the method may see of a layer."""
        name = f"{layer.name}.weight"
        weight, mask, aux = self.parameters[name], self.masks[layer.name], self.aux.get(layer.name)
        return host_signals(layer, seed, event, weight, mask, gradients.get(name), aux)

    def adopt(self, name: str, rewired: Rewired) -> None:
        """One layer's new mask: dropped weights to 0, truly new ones to their value and their velocity to 0."""
        weight, velocity = (arrays[f"{name}.weight"].reshape(-1) for arrays in (self.parameters, self.velocities))
        weight[rewired.dropped] = 0
        weight[rewired.grown] = 0 if rewired.values is None else rewired.values
        velocity[rewired.grown] = 0
        self.masks[name] = rewired.mask


class Trainer:
    """SparseTrainer in NumPy."""

    def __init__(self) -> None:
        self._data = HostData()

    def supports(self, task: Task, method: Method) -> str | None:
        """Every method runs here, in float32 and with SGD."""
        if task.recipe.optimizer != "sgd":
            return f"its only optimizer is 'sgd', not {task.recipe.optimizer!r}"
        if task.recipe.precision != "float32":
            return f"its only precision is 'float32', not {task.recipe.precision!r}"
        return None

    def count(self, task: Task) -> FrameworkCount:
        """NumPy counts nothing."""
        return FrameworkCount("numpy", None)

    def init(self, task: Task, weights: Arrays, masks: Masks) -> State:
        """Copies of these weights, masked; velocities of 0."""
        parameters = {name: np.array(array, np.float32, order="C") for name, array in weights.items()}
        velocities = {name: np.zeros_like(array) for name, array in parameters.items()}
        given = {name: np.array(mask, order="C") for name, mask in masks.items()}
        state = State(task, builder(task.model, "numpy")(task.input), parameters, velocities, given)
        state.apply_masks()
        return state

    def train(self, state: State, method: Method, feed: Feed, start: int, stop: int) -> tuple[State, Tally]:
        """One optimizer step for each batch start … stop − 1."""
        losses = np.empty(stop - start, np.float32)
        for j, rate in enumerate(state.task.rates(start, stop).tolist()):
            losses[j], gradients = self._gradients(state, feed, start + j)
            if method.observe:
                state.observe(method.observe, gradients)
            sgd(state.parameters, state.velocities, gradients, rate, state.task.recipe)
            state.apply_masks()
        return state, Tally(losses)

    def update(
        self, state: State, method: Method, event: Event, budget: Mapping[str, Counts], feed: Feed
    ) -> tuple[State, Report]:
        """New masks by the rules of the harness; nothing changes if a score is bad."""
        loss, gradients = None, Parameters()
        if method.needs_gradient:
            loss, gradients = self._gradients(state, feed, event.iteration)
        layers = [layer for layer in state.task.layers if layer.name in state.masks]
        parts = [(layer, state.signals(layer, feed.seed, event, gradients)) for layer in layers]
        done = rewire_layers(method, parts, budget)
        for layer, rewired in zip(layers, done, strict=True):
            state.adopt(layer.name, rewired)
        return state, Report(loss, {layer.name: each.change for layer, each in zip(layers, done, strict=True)})

    def evaluate(self, state: State, split: Literal["train", "test"]) -> Metrics:
        """Accuracy and mean cross-entropy over every sample of a split."""
        samples, correct, loss = 0, 0, 0.0
        for images, labels in self._data.evaluation(state.task, split):
            logits = state.network.logits(state.parameters, images)
            samples += len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(cross_entropy(logits, labels)[0].sum(dtype=np.float64))
        return Metrics(correct / samples, loss / samples)

    def weights(self, state: State) -> Parameters:
        """A copy of all parameters."""
        return {name: array.copy() for name, array in state.parameters.items()}

    def masks(self, state: State) -> Masks:
        """A copy of the masks."""
        return {name: mask.copy() for name, mask in state.masks.items()}

    def snapshot(self, state: State) -> dict[str, NDArray[Any]]:
        """All arrays of the state, copied, by kind and name."""
        kinds = {"parameter": state.parameters, "velocity": state.velocities, "mask": state.masks, "aux": state.aux}
        return {f"{kind}/{name}": array.copy() for kind, arrays in kinds.items() for name, array in arrays.items()}

    def restore(self, task: Task, arrays: Mapping[str, NDArray[Any]]) -> State:
        """The state that they came from."""
        kinds: dict[str, dict[str, NDArray[Any]]] = {"parameter": {}, "velocity": {}, "mask": {}, "aux": {}}
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            kinds[kind][rest] = array.copy()
        return State(task, builder(task.model, "numpy")(task.input), *kinds.values())

    def _gradients(self, state: State, feed: Feed, i: int) -> tuple[float, Parameters]:
        """The mean loss of batch i and its dense gradients, mean over the equal parts of the batch."""
        recipe, parts = state.task.recipe, self._data.parts(state.task, feed, i)
        done = [state.network.gradients(state.parameters, *part, recipe.label_smoothing) for part in parts]
        losses, gradients = zip(*done, strict=True)
        return sum(losses) / len(parts), {name: np.mean([g[name] for g in gradients], 0) for name in state.parameters}
