"""What a backend promises whatever the method: where a run starts, what is masked, and the training itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance import reference
from sparsebench.conformance.arrays import near, same
from sparsebench.conformance.check import Check, require, spread
from sparsebench.conformance.ground import (
    FULLY_CONNECTED,
    RECIPES,
    STEPS,
    Ground,
    places,
    split_of,
    statistics_of,
    task,
)
from sparsebench.conformance.plans import first_masks
from sparsebench.conformance.walks import begin, bits, update
from sparsebench.errors import UserError
from sparsebench.masks import Masks
from sparsebench.method import Event, Method, Signals
from sparsebench.methods.dense import dense
from sparsebench.methods.set import set_
from sparsebench.methods.static import static
from sparsebench.models import Arrays, initial_weights
from sparsebench.trainer import Task

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# ---- where a run starts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A network, sparse from its start; `order` is the memory order of what is given."""

    network: str
    recipe: str
    sparsity: float
    order: Literal["C", "F"]
    seed: int


def _starts(ground: Ground) -> SearchStrategy[Start]:
    from hypothesis import strategies as st

    return st.builds(
        spread(Start),
        st.sampled_from(places(ground)),
        st.sampled_from([0.5, 0.0, 0.999]) | st.floats(0, 0.999),
        st.sampled_from(["C", "F"]),
        st.integers(0, 2**63 - 1),
    )


def _every_place(ground: Ground) -> list[Start]:
    return [Start(*place, 0.5, "C", 0) for place in places(ground)]


def _given(job: Task, case: Start) -> tuple[Arrays, Masks]:
    weights = initial_weights(job.model, job.input, case.seed)
    masks = first_masks(static, job.prunable, case.sparsity, weights, case.seed)
    laid = np.asfortranarray if case.order == "F" else np.ascontiguousarray
    return {n: laid(w) for n, w in weights.items()}, {n: laid(m) for n, m in masks.items()}


def _as_given(ground: Ground, case: Start) -> None:
    trainer, job = ground.trainer, _supported(ground, static, case.network, case.recipe)
    weights, masks = _given(job, case)
    before = bits(weights), bits(masks)
    state = trainer.init(job, weights, masks)
    found, found_masks = trainer.weights(state), trainer.masks(state)
    require(found_masks.keys() == masks.keys(), f"masks of {sorted(found_masks)} instead of {sorted(masks)}")
    for name, mask in masks.items():
        same(found_masks[name], np.ascontiguousarray(mask), f"the mask of {name!r}")
    for name, weight in weights.items():
        mask = masks.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        expected = weight if mask is None else np.where(mask, weight, np.float32(0))
        same(found[name] + 0, np.ascontiguousarray(expected) + 0, f"{name} at the start")
    statistics = statistics_of(job)
    require(found.keys() == weights.keys() | statistics, f"weights and statistics are called {sorted(found)}")
    for name in statistics:
        wanted = np.full_like(found[name], name.endswith("var"))
        same(found[name], wanted, f"{name}, which was not given")
    state, _ = trainer.train(state, static, job.feed(case.seed), 0, 2)
    require((bits(weights), bits(masks)) == before, "arrays that were given to init changed: it must copy them")


def _supported(ground: Ground, method: Method, network: str, recipe: str) -> Task:
    job = task(network, recipe)
    if reason := ground.trainer.supports(job, method):
        raise UserError(reason)
    return job


def _kernels_only(ground: Ground, case: Start) -> None:
    """Half of all scales and biases would be 0 if they were masked; none is, before and after an update."""
    trainer, job = ground.trainer, _supported(ground, set_, case.network, case.recipe)
    weights, masks = _given(job, replace(case, sparsity=0.9))
    weights = {n: np.where(w == 0, np.float32(0.25), w) if w.ndim < 2 else w for n, w in weights.items()}
    state = trainer.init(job, weights, masks)
    for i in range(2):
        _no_zeros(trainer.weights(state), weights, f"before iteration {2 * i}")
        state, _ = trainer.train(state, set_, job.feed(case.seed), 2 * i, 2 * i + 2)
        state, report = update(trainer, job, state, set_, Event(2 * i + 1, 0.5), 0.9, case.seed)
        told = report.layers.keys() | trainer.masks(state).keys()
        require(told == {layer.name for layer in job.prunable}, f"an update changes masks of {sorted(told)}")
    _no_zeros(trainer.weights(state), weights, "after four steps and two updates")


def _no_zeros(found: Arrays, given: Arrays, when: str) -> None:
    for name in [name for name, array in given.items() if array.ndim < 2]:
        zeros = int((found[name] == 0).sum())
        require(not zeros, f"{when}, {zeros} of {found[name].size} entries of {name} are 0: only kernels are masked")


def _again(xp: Any, layer: Any, signals: Signals) -> Any:
    return xp.astype(signals.mask, xp.float32)


def _regrown(ground: Ground, case: Start) -> None:
    trainer, job = ground.trainer, _supported(ground, set_, case.network, case.recipe)
    method = replace(set_, grow=_again)
    state = begin(trainer, job, method, 0.5, case.seed)
    state, _ = trainer.train(state, method, job.feed(case.seed), 0, 4)
    before = bits(trainer.snapshot(state))
    state, report = update(trainer, job, state, method, Event(3, 0.6), 0.5, case.seed)
    after = bits(trainer.snapshot(state))
    changed = sorted(name for name in before if before[name] != after.get(name))
    require(
        not changed,
        f"connections that were dropped and grown again in one update lost value or state: {', '.join(changed)}",
    )
    grown = sum(change.grown for change in report.layers.values())
    require(not grown, f"the report calls {grown} connections grown that were active before")


# ---- training ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    """A dense run of the fully connected network."""

    recipe: str
    seed: int


def _denses(ground: Ground) -> SearchStrategy[Dense]:
    from hypothesis import strategies as st

    return st.builds(Dense, st.sampled_from(list(RECIPES)), st.integers(0, 2**63 - 1))


def _every_recipe(ground: Ground) -> list[Dense]:
    return [Dense(recipe, 0) for recipe in RECIPES]


def _textbook(ground: Ground, case: Dense) -> None:
    job = _supported(ground, dense, FULLY_CONNECTED, case.recipe)
    trainer, weights = ground.trainer, initial_weights(job.model, job.input, case.seed)
    state, tally = trainer.train(trainer.init(job, weights, {}), dense, job.feed(case.seed), 0, job.steps)
    training = reference.Training(job, {name: array.astype(np.float64) for name, array in weights.items()})
    expected = np.array(training.losses(case.seed))
    near(tally.losses, expected, 2e-4, "losses against float64 in NumPy, by iteration")
    for name, array in training.weights.items():
        near(trainer.weights(state)[name], array, 1e-3, f"{name} after {job.steps} steps against float64 in NumPy")


def _no_reference(ground: Ground) -> str | None:
    return None if FULLY_CONNECTED in ground.networks else f"the backend does not build {FULLY_CONNECTED}"


@dataclass(frozen=True)
class Segments:
    """A run in two segments."""

    network: str
    recipe: str
    stop: int
    seed: int


def _segments(ground: Ground) -> SearchStrategy[Segments]:
    from hypothesis import strategies as st

    return st.builds(
        spread(Segments), st.sampled_from(places(ground)), st.integers(0, STEPS), st.integers(0, 2**63 - 1)
    )


def _joined(ground: Ground, case: Segments) -> None:
    trainer, job = ground.trainer, _supported(ground, static, case.network, case.recipe)
    ends: list[tuple[NDArray[np.float32], Any]] = []
    for cuts in ([0, STEPS], [0, case.stop, STEPS]):
        state, losses = begin(trainer, job, static, 0.5, case.seed), list[NDArray[np.float32]]()
        for start, stop in pairwise(cuts):
            state, tally = trainer.train(state, static, job.feed(case.seed), start, stop)
            require(tally.losses.shape == (stop - start,), f"{stop - start} steps give {tally.losses.shape} losses")
            losses.append(tally.losses)
        ends.append((np.concatenate(losses), trainer.weights(state)))
    same(ends[1][0], ends[0][0], f"losses of segments 0–{case.stop}–{STEPS} and of one")
    require(bits(ends[1][1]) == bits(ends[0][1]), f"weights differ after segments 0–{case.stop}–{STEPS} and after one")


@dataclass(frozen=True)
class Evaluation:
    """A test split of so many samples."""

    samples: int
    seed: int


def _evaluations(ground: Ground) -> SearchStrategy[Evaluation]:
    from hypothesis import strategies as st

    sizes = st.sampled_from([1, 7, 999, 1000, 1001, 2003])
    return st.builds(Evaluation, sizes, st.integers(0, 2**63 - 1))


def _every_sample(ground: Ground, case: Evaluation) -> None:
    job = _supported(ground, dense, FULLY_CONNECTED, "momentum")
    test = split_of(job.dataset.shape, case.samples)
    job = replace(job, dataset=replace(job.dataset, test=test))
    weights = initial_weights(job.model, job.input, case.seed)
    metrics = ground.trainer.evaluate(ground.trainer.init(job, weights, {}), "test")
    names = [layer.name for layer in job.layers]
    made, _ = reference.logits(names, weights, job.pixels(test).astype(np.float64))
    losses = -reference.likelihoods(made)[range(case.samples), test.labels]
    ranked = np.sort(made, axis=1)
    near(np.array(metrics.loss), np.array(losses.mean()), 1e-5, f"the mean loss of {case.samples} samples")
    if (ranked[:, -1] - ranked[:, -2]).min() > 1e-5:
        right = int((made.argmax(axis=1) == test.labels).sum())
        found = metrics.accuracy * case.samples
        require(abs(found - right) < 0.5, f"{found:g} of {case.samples} samples are counted as right, {right} are")


CHECKS = (
    Check("as-given", "a run starts from the weights and masks that it is given", Start, _starts, _as_given,
          first=_every_place),
    Check("kernels-only", "masks apply to kernels alone, never to biases or scales", Start, _starts, _kernels_only,
          first=_every_place),
    Check("regrown", "what an update drops and grows again keeps value and state", Start, _starts, _regrown,
          first=_every_place),
    Check("dense", "dense training is the textbook's, step for step", Dense, _denses, _textbook, None, _no_reference,
          _every_recipe),
    Check("segments", "where a segment ends changes nothing", Segments, _segments, _joined),
    Check("evaluation", "an evaluation counts every sample once", Evaluation, _evaluations, _every_sample, None,
          _no_reference),
)  # fmt: skip
