"""The trainer: everything between two events is one compiled loop over donated buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from sparsebench.data.feed import Feed
from sparsebench.data.stream import Stream
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Method
from sparsebench.mistakes import told
from sparsebench.models import Arrays
from sparsebench.replicas import check_shares
from sparsebench.snapshots import AUX, MASK, PARAMETER, under
from sparsebench.trainer import FrameworkCount, Metrics, Report, Tally, Task
from sparsebench_jax import layout, optimizers, placement, rewiring
from sparsebench_jax.batches import Origin
from sparsebench_jax.data import Data, HostBatch
from sparsebench_jax.optimizers import Parameters
from sparsebench_jax.placement import Placement
from sparsebench_jax.program import CHUNK, Program, compile, slow_in_loops
from sparsebench_jax.rewiring import Seen
from sparsebench_jax.snapshots import (
    decoded,
    encoded,
    host,
    needs_own,
    optimizer_arrays,
    optimizer_filled,
    rest_arrays,
    rest_filled,
)
from sparsebench_jax.statistics import statistics_of

WEIGHT = ".weight"
"""Ends the name of what a mask is for."""


@dataclass(frozen=True)
class JaxState:
    """A pytree in the middle of a run. `parameters` and `masks` are named after the weight, in Flax's axis order."""

    task: Task
    parameters: Parameters
    rest: Any
    optimizer: Any
    masks: Parameters
    aux: Parameters = field(default_factory=dict[str, jax.Array])
    """What the method observed of each masked layer, float32; empty until something is observed."""


class JaxTrainer:
    """SparseTrainer on JAX; `optimizer` builds one from a recipe, `place` says on which devices of a kind it runs."""

    def __init__(
        self,
        device: str = "cpu",
        optimizer: optimizers.Build = optimizers.build,
        place: Callable[[str], Placement] = placement.one,
    ) -> None:
        self.place = place(device)
        self.optimizer = optimizer
        self._programs: dict[Any, Program] = {}
        self._data = Data(self.place)
        self._rewire: rewiring.Rewire = rewiring.on_host if self.place.platform == "cpu" else rewiring.on_device

    def supports(self, task: Task, method: Method) -> str | None:
        """Every method runs here, if devices can share its batches; one that updates masks needs an optimizer whose
        state is per element."""
        size = task.recipe.batch_size // task.recipe.accumulation
        if refused := told(lambda: check_shares(size, len(self.place.devices))):
            return refused[0]
        if not method.updates:
            return None
        program = self._program(task)
        prunable = [f"{layer.name}.weight" for layer in task.prunable]
        return optimizers.refusal(program.optimizer.transformation, program.parameters, prunable)

    def count(self, task: Task) -> FrameworkCount:
        """What XLA's cost analysis counts in a forward pass: element-wise work too, and no padding taps."""
        return FrameworkCount("XLA cost_analysis", self._program(task).count())

    def init(self, task: Task, weights: Arrays, masks: Masks) -> JaxState:
        """These weights in Flax's layout and the module's type, masked; all other state fresh."""
        program = self._program(task)
        given = {name: self.place.kept(layout.flax(array)) for name, array in weights.items()}
        placed = {f"{name}.weight": self.place.kept(layout.flax(mask)) for name, mask in masks.items()}
        parameters, rest, optimizer = program.fresh(given, placed)
        return JaxState(task, parameters, rest, optimizer, placed)

    def train(self, state: JaxState, method: Method, feed: Feed, start: int, stop: int) -> tuple[JaxState, Tally]:
        """One optimizer step for each batch start … stop − 1."""
        state, losses = self.advance(state, method, feed, start, stop)
        found = [np.zeros(0, np.float32), *map(np.atleast_1d, jax.device_get(losses))]
        # cut on the host: a slice on the device would compile for every length
        return state, Tally(np.concatenate(found)[: stop - start])

    def advance(
        self, state: JaxState, method: Method, feed: Feed, start: int, stop: int
    ) -> tuple[JaxState, list[jax.Array]]:
        """The same without waiting for the device, whose losses are still to come; all transfers are explicit."""
        state, losses = self._observing(state, method), list[jax.Array]()
        for function, taken in self._calls(state.task, feed, start, stop):
            *kept, loss = function(method.observe, *_carried(state), *taken)
            state = _after(state, *kept)
            losses.append(loss)
        return state, losses

    def lowered(self, state: JaxState, method: Method, feed: Feed) -> Any:
        """The compiled call that a segment consists of (`jax.stages.Lowered`); nothing is run."""
        state = self._observing(state, method)
        function, taken = next(self._calls(state.task, feed, 0, 1))
        return function.lower(method.observe, *_carried(state), *taken)

    def _calls(self, task: Task, feed: Feed, start: int, stop: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """(compiled function, what it takes beside the state): in memory, as many steps as a loop has room for.

        Streamed, or where loops are slow, it is step by step, while the next batches are read.
        """
        program, origin, axis = self._program(task), self.origin(task), _samples(task)
        if self.steps_from_host(task):
            for i, rate in zip(range(start, stop), task.rates(start, stop).astype(np.float32), strict=True):
                yield program.step, (origin, *self._sent(self._data.batch(task, feed, i), axis, rate))
            return
        for first in range(start, stop, CHUNK):
            last = min(first + CHUNK, stop)
            batches = tuple(map(_padded, self._data.batches(task, feed, first, last)))
            rates = _padded(task.rates(first, last).astype(np.float32))
            yield program.segment, (origin, *self._sent(batches, axis + 1, rates, np.int32(last - first)))

    def steps_from_host(self, task: Task) -> bool:
        """Whether each step is a call of its own, and not one of a compiled loop."""
        return isinstance(task.dataset.train, Stream) or slow_in_loops(task, self.place.platform)

    def origin(self, task: Task) -> Origin:
        """What training batches are taken from, on each device."""
        return self._data.origin(task, "train")

    def _observing(self, state: JaxState, method: Method) -> JaxState:
        """With room for what the method observes, if it does."""
        if not method.observe or state.aux:
            return state
        aux = {name: self.place.kept(np.zeros(mask.shape, np.float32)) for name, mask in state.masks.items()}
        return replace(state, aux=aux)

    def update(
        self, state: JaxState, method: Method, event: Event, budget: Mapping[str, Counts], feed: Feed
    ) -> tuple[JaxState, Report]:
        """New masks; the dense gradient, where needed, is that of batch `event.iteration` in training mode."""
        program = self._program(state.task)
        loss, rest, gradients = None, state.rest, None
        if method.needs_gradient:
            (batch,) = self._sent(self._data.batch(state.task, feed, event.iteration), _samples(state.task))
            loss, rest, gradients = program.gradient(
                state.parameters, rest, state.masks, self.origin(state.task), batch
            )
        layers = [layer for layer in state.task.layers if f"{layer.name}.weight" in state.masks]
        seen = Seen(state.parameters, gradients, state.masks, state.aux)
        new, values, changes = self._rewire(method, layers, feed.seed, event, budget, seen)
        # placed like all else: else every function compiles again
        new, values = self.place.put((new, values))
        parameters, optimizer = program.adopt(state.parameters, state.optimizer, state.masks, new, values)
        report = Report(None if loss is None else float(loss), changes)
        return JaxState(state.task, parameters, rest, optimizer, new, state.aux), report

    def evaluate(self, state: JaxState, split: Literal["train", "test"]) -> Metrics:
        """Accuracy and mean cross-entropy over the split, in evaluation mode."""
        program, origin = self._program(state.task), self._data.origin(state.task, split)
        done = [
            program.evaluate(state.parameters, state.rest, origin, *self.place.shared(taken))
            for taken in self._data.evaluation(state.task, split)
        ]
        correct, loss = (np.sum(jax.device_get(each), dtype=np.float64) for each in zip(*done, strict=True))
        samples = len(getattr(state.task.dataset, split).labels)
        return Metrics(float(correct) / samples, float(loss) / samples)

    def weights(self, state: JaxState) -> dict[str, NDArray[np.float32]]:
        """All parameters and running statistics, copied to the host, in canonical layout."""
        named = state.parameters | statistics_of(state.rest)
        return {name: self._read(name, value).astype(np.float32, copy=False) for name, value in named.items()}

    def masks(self, state: JaxState) -> Masks:
        """All masks, copied to the host, in canonical layout."""
        return {name.removesuffix(WEIGHT): host(mask) for name, mask in state.masks.items()}

    def snapshot(self, state: JaxState) -> dict[str, NDArray[Any]]:
        """All of the state, copied to the host."""
        arrays = {PARAMETER + name: self._read(name, value) for name, value in state.parameters.items()}
        arrays |= {MASK + name.removesuffix(WEIGHT): self._read(name, mask) for name, mask in state.masks.items()}
        arrays |= {AUX + name.removesuffix(WEIGHT): self._read(name, seen) for name, seen in state.aux.items()}
        arrays |= rest_arrays(state.rest) | optimizer_arrays(state.optimizer, state.parameters)
        return dict(encoded(*entry) for entry in arrays.items())

    def restore(self, task: Task, arrays: Mapping[str, NDArray[Any]]) -> JaxState:
        """A fresh state, filled from a snapshot."""
        program, arrays = self._program(task), dict(decoded(*entry) for entry in arrays.items())
        put = self.place.kept
        parameters, masks, aux = (
            {name + end: put(layout.flax(value)) for name, value in under(kind, arrays).items()}
            for kind, end in ((PARAMETER, ""), (MASK, WEIGHT), (AUX, WEIGHT))
        )
        # in the order of the layers, whatever that of a file: records are written in it
        masks = {name: masks[name] for layer in task.layers if (name := layer.name + WEIGHT) in masks}
        rest = program.fresh(parameters, masks)[1] if needs_own(program.rest, arrays) else program.rest
        shapes = jax.eval_shape(program.optimizer.transformation.init, program.parameters)
        optimizer = optimizer_filled(shapes, program.parameters, arrays, put)
        return JaxState(task, parameters, rest_filled(rest, arrays, put), optimizer, masks, aux)

    def _program(self, task: Task) -> Program:
        key = (task.model, task.input, task.recipe)
        if key not in self._programs:
            self._programs[key] = compile(task, self.optimizer(task.recipe), self.place)
        return self._programs[key]

    def _sent(self, batches: HostBatch, axis: int, *others: Any) -> tuple[Any, ...]:
        """Batches shared along the axis of samples, and what is the same everywhere, without waiting for devices."""
        return self.place.send((batches, *others), (self.place.along(axis), *[self.place.whole] * len(others)))

    def _read(self, name: str, array: jax.Array) -> NDArray[Any]:
        return host(self.place.read(name, array))


def _carried(state: JaxState) -> tuple[Any, ...]:
    """What a step takes of the state; all but the masks is donated."""
    return state.parameters, state.rest, state.optimizer, state.aux, state.masks


def _after(state: JaxState, parameters: Parameters, rest: Any, optimizer: Any, aux: Parameters) -> JaxState:
    return replace(state, parameters=parameters, rest=rest, optimizer=optimizer, aux=aux)


def _padded(array: NDArray[Any]) -> NDArray[Any]:
    """`array` with rows of zeros up to the room of one compiled loop."""
    return np.concatenate([array, np.zeros((CHUNK - len(array), *array.shape[1:]), array.dtype)])


def _samples(task: Task) -> int:
    """The axis of the samples in a batch."""
    return int(task.recipe.accumulation > 1)
