"""What states remember: optimizer state across updates, and everything across a snapshot.

An optimizer's state is seen by what it does: the next step of a state, less that of a fresh one with equal weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance import plans
from sparsebench.conformance.arrays import near, same
from sparsebench.conformance.check import Check, require, spread
from sparsebench.conformance.functions import LAYERS
from sparsebench.conformance.ground import STEPS, Ground, claiming, places
from sparsebench.conformance.walks import Move, Trainer, begin, moves, seen, update
from sparsebench.method import Event, Law, Method
from sparsebench.methods.static import static
from sparsebench.trainer import Task

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Arrays = dict[str, NDArray[Any]]


# ---- optimizer state --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Growth:
    """An update after a few steps."""

    method: str
    network: str
    recipe: str
    sparsity: float
    steps: int
    seed: int


def _growths(ground: Ground) -> SearchStrategy[Growth]:
    from hypothesis import strategies as st

    return st.builds(
        spread(Growth),
        st.sampled_from(_growing(ground)),
        st.sampled_from(places(ground)),
        st.sampled_from([0.5, 0.8]) | st.floats(0.3, 0.95),
        st.integers(2, 6),
        st.integers(0, 2**63 - 1),
    )


def _every_growing(ground: Ground) -> list[Growth]:
    return [Growth(name, *place, 0.5, 4, 0) for name in _growing(ground)[:1] for place in places(ground)]


def _growing(ground: Ground) -> list[str]:
    """The methods that grow connections in a short run."""
    return [name for name in claiming(ground, Law.FRESH_STATE) if _grows(ground.method(name))]


def _grows(method: Method) -> bool:
    layer = next(iter(LAYERS.values()))
    now = plans.first_count(method, layer, 0.5)
    for event in method.events(STEPS):
        counts = plans.counts(method, [layer], 0.5, {layer.name: now}, event)[layer.name]
        if counts.grown or event.drop_fraction:
            return True
        now = counts.active
    return False


def _none_grows(ground: Ground) -> str | None:
    return None if _growing(ground) else "the method grows nothing"


def _cleared(ground: Ground, case: Growth) -> None:
    trainer, method, k = ground.trainer, ground.methods[case.method], case.steps
    job = ground.checked(case.method, case.network, case.recipe)
    state = begin(trainer, job, method, case.sparsity, case.seed)
    state, _ = trainer.train(state, method, job.feed(case.seed), 0, k)
    before = _Remembered(trainer, job, trainer.snapshot(state), k + 1, case.seed)
    old = trainer.masks(state)
    event = Event(k, 0.6, replaces_step=method.needs_gradient)
    state, _ = update(trainer, job, state, method, event, case.sparsity, case.seed)
    after = _Remembered(trainer, job, trainer.snapshot(state), k + 1, case.seed)
    for name, new in trainer.masks(state).items():
        if job.recipe.optimizer == "sgd":
            _same_momentum(name, before, after, new & old[name], new & ~old[name])
        else:
            _fresh_moments(name, after, new & ~old[name], float(job.rates(k + 1, k + 2)[0]), k + 1)


class _Remembered:
    """The step that a state takes next, and the step of a fresh one with its weights and masks, by layer."""

    def __init__(self, trainer: Trainer, job: Task, arrays: Arrays, iteration: int, seed: int) -> None:
        now = seen(trainer, trainer.restore(job, arrays))
        own, fresh = trainer.restore(job, arrays), trainer.init(job, now.weights, now.masks)
        keys = {name: f"{name}.weight" for name in now.masks}
        steps: list[dict[str, NDArray[np.float32]]] = []
        for state in (own, fresh):
            state, _ = trainer.train(state, static, job.feed(seed), iteration, iteration + 1)
            weights = trainer.weights(state)
            steps.append({name: weights[key] - now.weights[key] for name, key in keys.items()})
        self.own, self.fresh = steps

    def carried(self, name: str) -> NDArray[np.float32]:
        """What is remembered, as far as it moves weights: of momentum a multiple."""
        return self.own[name] - self.fresh[name]


def _same_momentum(
    name: str, before: _Remembered, after: _Remembered, kept: NDArray[np.bool_], grown: NDArray[np.bool_]
) -> None:
    """Momentum is kept where connections are, and none is where they are new."""
    now, was = after.carried(name), before.carried(name)
    within = 1e-5 * float(np.abs(was).max(initial=0)) + 1e-6
    near(now[grown], np.zeros(int(grown.sum())), within, f"layer {name!r}: momentum carried on by grown connections")
    near(now[kept], was[kept], within, f"layer {name!r}: momentum carried on by kept connections")


def _fresh_moments(name: str, after: _Remembered, grown: NDArray[np.bool_], rate: float, taken: int) -> None:
    """Adam moves what has no moments by the rate, times what its count of steps makes of one gradient."""
    clear = grown & (np.abs(after.fresh[name]) >= (1 - 1e-4) * rate)  # the gradient is far above ε
    first, second = 0.1 / (1 - 0.9**taken), 0.001 / (1 - 0.999**taken)
    expected: NDArray[np.float64] = np.full(int(clear.sum()), rate * first / math.sqrt(second))
    what = f"layer {name!r}: size of the next step of grown connections"
    near(np.abs(after.own[name][clear]), expected, 2e-3 * rate, what)


# ---- snapshots --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A run that goes on from its snapshot after some iterations, in another trainer if it is `fresh`."""

    method: str
    network: str
    recipe: str
    sparsity: float
    stop: int
    fresh: bool
    seed: int


def _cuts(ground: Ground) -> SearchStrategy[Cut]:
    from hypothesis import strategies as st

    return st.builds(
        spread(Cut),
        st.sampled_from(list(ground.methods)),
        st.sampled_from(_counting(ground)),
        st.sampled_from([0.5, 0.8, 0.0]),
        st.integers(1, STEPS - 1),
        st.just(False),
        st.integers(0, 2**63 - 1),
    )


def _counting(ground: Ground) -> list[tuple[str, str]]:
    """Where optimizers count their steps, first."""
    return sorted(places(ground), key=lambda place: "adam" not in place[1])


def _every_cut(ground: Ground) -> list[Cut]:
    """Every method; and of one of them what another trainer makes of a snapshot, with a count of steps and without."""
    counting, plain = _counting(ground)[0], places(ground)[0]
    fresh = [Cut(name, *place, 0.5, 5, True, 0) for name in list(ground.methods)[:1] for place in (counting, plain)]
    return fresh + [Cut(name, *counting, 0.5, 5, False, 0) for name in ground.methods]


def _continued(ground: Ground, case: Cut) -> None:
    trainer, method = ground.trainer, ground.method(case.method)
    job = ground.checked(case.method, case.network, case.recipe)
    taken: dict[str, Arrays] = {}

    def look(iteration: int, state: Any) -> None:
        if iteration == case.stop - 1:
            taken["own"] = trainer.snapshot(state)
            taken["copy"] = _through_file(taken["own"])

    losses, state = _run(moves(trainer, job, method, case.sparsity, case.seed), look)
    other = ground.another if case.fresh else trainer
    first = other.restore(job, taken["copy"])
    again, end = _run(moves(other, job, method, case.sparsity, case.seed, first, case.stop))
    for i, loss in again.items():
        require(
            loss == losses[i], f"iteration {i}, after a snapshot at {case.stop}: loss {loss} instead of {losses[i]}"
        )
    what = f"the end of a run that was stopped after {case.stop} iterations"
    _same_arrays(other.snapshot(end), trainer.snapshot(state), what)
    _same_arrays(taken["own"], taken["copy"], "a snapshot, after what it was taken of trained on")


def _run(
    made: Iterator[tuple[Move, Any]], look: Callable[[int, Any], None] = lambda iteration, state: None
) -> tuple[dict[int, float | None], Any]:
    """(the last loss of every iteration, the last state); `look` is shown each state before the next move."""
    losses, state = dict[int, float | None](), None
    for move, after in made:
        losses[move.iteration], state = move.loss, after
        look(move.iteration, after)
    return losses, state


def _through_file(arrays: Arrays) -> Arrays:
    """What a file gives back."""
    from safetensors.numpy import load, save

    return load(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def _same_arrays(found: Arrays, expected: Arrays, what: str) -> None:
    require(found.keys() == expected.keys(), f"{what}: arrays {sorted(found.keys() ^ expected.keys())} are not in both")
    for name, array in expected.items():
        same(np.asarray(found[name]), np.asarray(array), f"{what}: {name}")


CHECKS = (
    Check(
        "moments", "optimizer state stays with kept connections, new ones have none",
        Growth, _growths, _cleared, Law.FRESH_STATE, _none_grows, _every_growing,
    ),
    Check(
        "snapshot", "a run continued from a snapshot equals one that never stopped",
        Cut, _cuts, _continued, first=_every_cut,
    ),
)  # fmt: skip
