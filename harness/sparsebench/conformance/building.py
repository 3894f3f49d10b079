"""What a model promises on a backend: states and masks that go in by name, and one network whoever builds it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import ledger
from sparsebench.config import Recipe
from sparsebench.conformance.arrays import near, same
from sparsebench.conformance.check import Check, OnBackend, require
from sparsebench.conformance.ground import CLASSES, split_of
from sparsebench.conformance.specifying import compact
from sparsebench.conformance.walks import begin, update
from sparsebench.data.source import Dataset, standardising_table
from sparsebench.errors import UserError
from sparsebench.method import Event
from sparsebench.methods.dense import dense
from sparsebench.methods.set import set_
from sparsebench.models import Arrays, Model, initial_weights
from sparsebench.trainer import Backend, Task

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

BATCH = 8
RATE = 0.01
EXACT = ("torch.utils.flop_counter",)
"""Tools that count multiply-adds of convolutions and matrix products as tables do; others are off by what they skip."""


@dataclass(frozen=True, eq=False)
class Built(OnBackend):
    """A model on a backend; what `others` build is what it is compared with."""

    model: Model
    backend: Backend
    others: tuple[Built, ...] = ()
    device: str = "cpu"

    @property
    def task(self) -> Task:
        """The network at a size that is quick to train, on one batch of noise; the first of two steps has rate 0."""
        return _task(self.model)

    def supported(self) -> Task:
        """The same, if the backend trains it."""
        for method in (dense, set_):
            if reason := self.trainer.supports(self.task, method):
                raise UserError(reason)
        return self.task


@cache
def _task(model: Model) -> Task:
    input = compact(model)
    train = split_of(input.shape, BATCH)
    data = Dataset("noise", CLASSES, train, split_of(input.shape, 2 * BATCH), standardising_table(train.images))
    recipe = Recipe(steps=2, batch_size=BATCH, learning_rate=RATE, schedule="constant", warmup=1.0, momentum=0.0)
    return Task(model, data, recipe, 2, input.width)


# ---- what is built ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Any state of the network, by the seed that it is drawn from."""

    seed: int


def _states(place: Built) -> SearchStrategy[State]:
    from hypothesis import strategies as st

    return st.builds(State, st.integers(0, 999))


def arbitrary(state: Arrays, seed: int) -> dict[str, NDArray[np.float32]]:
    """The state with every number moved: scales, biases and running statistics too."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    moved: dict[str, NDArray[np.float32]] = {}
    for name, array in state.items():
        shift = generator.uniform(-0.3, 0.3, array.shape) if array.ndim == 1 and "var" not in name else 0
        moved[name] = (array * generator.uniform(0.5, 1.5, array.shape) + shift).astype(np.float32)
    return moved


def _state(job: Task, seed: int) -> dict[str, NDArray[np.float32]]:
    """Parameters and running statistics."""
    state: dict[str, NDArray[Any]] = {**initial_weights(job.model, job.input, seed)}
    if job.model.statistics:
        for name, shape in job.model.statistics(job.input).items():
            state[name] = np.full(shape, name.endswith("var"), np.float32)
    return arbitrary(state, seed)


def _goes_round(place: Built, case: State) -> None:
    job = place.supported()
    given = _state(job, case.seed)
    found = place.trainer.weights(place.trainer.init(job, given, {}))
    missing, more = sorted(given.keys() - found.keys()), sorted(found.keys() - given.keys())
    require(not missing, f"the network has no {', '.join(missing[:3])}, which the specification draws")
    require(not more or not job.model.statistics, f"the network also has {', '.join(more[:3])}")
    for name, array in given.items():
        same(found[name], array, f"{name}, given and read back")


def _masked(place: Built, case: State) -> None:
    trainer, job = place.trainer, place.supported()
    state = begin(trainer, job, set_, 0.5, case.seed)
    state, _ = trainer.train(state, set_, job.feed(case.seed), 0, 1)
    state, _ = update(trainer, job, state, set_, Event(0, 0.3), 0.5, case.seed)
    weights, masks = trainer.weights(state), trainer.masks(state)
    require(masks.keys() == {layer.name for layer in job.prunable}, f"masks are of {sorted(masks)[:3]}, … only")
    for name, mask in masks.items():
        stray = int((weights[f"{name}.weight"][~mask] != 0).sum())
        require(not stray, f"{stray} weights of layer {name!r} are not 0 outside its mask")


def _counted(place: Built, case: State) -> None:
    job = place.supported()
    count, expected = place.trainer.count(job), ledger.dense(job.layers)
    if count.forward is None or math.isnan(expected):
        raise UserError("the framework counts nothing" if count.forward is None else "the table has unknown costs")
    ratio = count.forward / expected
    told = f"{count.tool} counts {count.forward:,.0f} FLOPs of a forward pass, the table {expected:,.0f}"
    require(ratio == 1 if count.tool in EXACT else 0.4 < ratio < 2.5, told)


# ---- one network on two backends --------------------------------------------------------------------------------


def _evaluated(place: Built, case: State) -> NDArray[np.float64]:
    job = place.supported()
    state = place.trainer.init(job, _state(job, case.seed), {})
    return np.array([place.trainer.evaluate(state, which).loss for which in ("train", "test")])


def _trained(place: Built, case: State) -> tuple[NDArray[np.float32], Arrays]:
    """(losses of two steps, the first of rate 0; the state after them)."""
    job = place.supported()
    state = place.trainer.init(job, _state(job, case.seed), {})
    state, tally = place.trainer.train(state, dense, job.feed(case.seed), 0, 2)
    return tally.losses, place.trainer.weights(state)


def _same_network(place: Built, case: State) -> None:
    for other in place.others:
        found, expected = _evaluated(place, case), _evaluated(other, case)
        within = 1e-3 * max(1.0, float(np.abs(expected).max()))
        near(found, expected, within, f"mean losses of the training and test split, against {other.name}")


def _same_training(place: Built, case: State) -> None:
    for other in place.others:
        (losses, found), (expected_losses, expected) = _trained(place, case), _trained(other, case)
        if abs(float(losses[0] - losses[1])) > 1e-3 * max(1.0, float(abs(losses[0]))):
            raise UserError("the network draws while it trains (dropout), and otherwise in each framework")
        within = 1e-3 * max(1.0, float(np.abs(expected_losses).max()))
        near(losses, expected_losses, within, f"losses of a batch in training, against {other.name}")
        for name, was in _state(place.task, case.seed).items():
            _same_step(name, was, found[name], expected[name], other.name)


def _same_step(name: str, was: NDArray[Any], found: NDArray[Any], expected: NDArray[Any], other: str) -> None:
    start, ours, theirs = (array.astype(np.float64) for array in (was, found, expected))
    step, apart = float(np.linalg.norm(theirs - start)), float(np.linalg.norm(ours - theirs))
    within = 0.1 * step + 1e-5 * max(1.0, float(np.linalg.norm(start)))
    require(apart <= within, f"{name}: a step of length {step:.2g} ends {apart:.2g} away from that of {other}")


def _alone(place: Built) -> str | None:
    return None if place.others else "the first backend that builds it is what others are compared with"


CHECKS = (
    Check("conversion", "any state goes in and comes out to the bit, by name", State, _states, _goes_round),
    Check("masks", "masks of the table's rows apply to the network's kernels", State, _states, _masked),
    Check("flops", "the framework counts the FLOPs of the table", State, _states, _counted),
    Check("same-network", "the same losses as on the other backend", State, _states, _same_network, idle=_alone),
    Check("same-training", "the same step as on the other backend", State, _states, _same_training, idle=_alone),
)
