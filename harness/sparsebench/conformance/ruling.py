"""Whether updates follow the method's rule: the masks that NumPy makes of the same weights, gradients and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise
from sparsebench.conformance import oracle
from sparsebench.conformance.arrays import same
from sparsebench.conformance.check import Check, require
from sparsebench.conformance.ground import FULLY_CONNECTED, IN_PARTS, Ground, Walk, every_method, walks
from sparsebench.conformance.walks import Frame, Move, Trainer, Transcript
from sparsebench.layers import Layer
from sparsebench.masks import Mask, host_noise
from sparsebench.method import Law, Method, Signals
from sparsebench.methods.dense import dense
from sparsebench.models import Arrays
from sparsebench.rewiring import rewire_layers
from sparsebench.selection import top
from sparsebench.trainer import Task

RATE = 1024.0
"""A power of two so large that what a step adds to a weight is its gradient, but for the last digit."""
SLACK = 1e-4
"""How near to the cut a score must be, relative to the largest, for rounding to decide."""
FEW = 0.02
"""The share of entries that rounding may decide where a selection has a structure of its own."""


@cache
def _probing(task: Task) -> Task:
    """The same with plain steps of a huge rate on whole batches."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "accumulation": 1}
    huge = {"learning_rate": RATE, "schedule": "constant", "warmup": 0.0}
    return replace(task, recipe=task.recipe.model_copy(update=plain | huge))


def dense_gradients(trainer: Trainer, task: Task, weights: Arrays, seed: int, iteration: int) -> dict[str, Any]:
    """The gradient of every layer on a whole batch, inactive entries included: read off one dense step from there."""
    job = _probing(task)
    state = trainer.init(job, weights, {})
    state, _ = trainer.train(state, dense, job.feed(seed), iteration, iteration + 1)
    moved = trainer.weights(state)
    names = [(layer.name, f"{layer.name}.weight") for layer in task.prunable]
    return {name: ((weights[key] - moved[key]) / np.float32(RATE)) for name, key in names}


def _slow(xp: Any, score: Any, count: Any, among: Any) -> Mask:
    return oracle.top(score, int(count), among)


@dataclass(frozen=True, eq=False)
class _Ruled:
    """What an update had to look at, and the mask that follows from it."""

    layer: Layer
    signals: Signals
    expected: Mask


def _ruled(
    run: Transcript, before: Frame, move: Move, gradients: Mapping[str, Any], aux: Mapping[str, Any]
) -> list[_Ruled]:
    method = replace(run.method, select=_slow) if run.method.select is top else run.method
    parts = [
        (
            layer,
            Signals(
                before.weights[f"{layer.name}.weight"], gradients.get(layer.name), before.masks[layer.name],
                host_noise(layer, noise.key(run.seed, move.iteration, layer.name)), aux=aux.get(layer.name),
            ),
        )
        for layer in run.task.prunable
    ]  # fmt: skip
    done = rewire_layers(method, parts, move.budget)
    return [_Ruled(*part, each.mask) for part, each in zip(parts, done, strict=True)]


def _follows(ground: Ground, case: Walk) -> None:
    run = ground.transcript(case)
    method, aux = run.method, dict[str, Any]()
    for before, move, after in run.pairs():
        gradients = {}
        if (method.observe and move.event is None) or (method.needs_gradient and move.event):
            gradients = dense_gradients(ground.trainer, run.task, before.weights, run.seed, move.iteration)
        if move.event is None:
            aux = _observed(run, before, gradients, aux)
            continue
        for ruled in _ruled(run, before, move, gradients, aux):
            found = after.masks[ruled.layer.name]
            told = f"iteration {move.iteration}, the mask of layer {ruled.layer.name!r}"
            if method.needs_gradient or method.observe:
                _nearly(method, ruled, found, move, told)
            else:
                same(found, ruled.expected, told)


def _observed(run: Transcript, before: Frame, gradients: Mapping[str, Any], aux: Mapping[str, Any]) -> dict[str, Any]:
    if run.method.observe is None:
        return {}
    return {
        layer.name: run.method.observe(
            np, layer, aux.get(layer.name, np.zeros(layer.shape, np.float32)),
            before.weights[f"{layer.name}.weight"], gradients[layer.name],
        )
        for layer in run.task.prunable
    }  # fmt: skip


def _nearly(method: Method, ruled: _Ruled, found: Mask, move: Move, told: str) -> None:
    """The expected mask, but for entries whose score lies at the cut: gradients are sums, added in any order."""
    apart = found != ruled.expected
    if method.select is not top:
        require(apart.mean() <= FEW, f"{told}: {apart.sum()} of {apart.size} entries are decided otherwise")
        return
    near = _at_the_cut(method, ruled, move)
    wrong = np.flatnonzero(apart & ~near)
    require(
        not wrong.size,
        f"{told}: {wrong.size} entries are decided otherwise than by the mean gradient of the whole batch, entry "
        f"{wrong[:1].tolist()} first",
    )


def _at_the_cut(method: Method, ruled: _Ruled, move: Move) -> Mask:
    layer, signals, old = ruled.layer, ruled.signals, ruled.signals.mask
    counts, total = move.budget[layer.name], int(ruled.expected.sum())
    kept = min(counts.kept, int(old.sum())) if counts.grown else total
    drop = np.asarray(method.drop(np, layer, replace(signals, role="drop")))
    grow = np.asarray(method.grow(np, layer, replace(signals, role="grow")))
    stays = oracle.top(drop, kept, old)
    return _near(drop, kept, old) | _near(grow, total - kept, ~stays)


def _near(score: NDArray[np.float32], count: int, among: Mask) -> Mask:
    """Entries whose score is that of the last one chosen or of the first passed over, or nearly."""
    flat, order = score.reshape(-1), oracle.ranked(score, among)
    cuts = flat[order[max(count - 1, 0) : count + 1]]
    slack = SLACK * float(np.abs(flat).max(initial=0))
    return np.asarray((np.abs(score[..., None] - cuts) <= slack).any(axis=-1))


def _in_parts(ground: Ground) -> Ground:
    """The same ground with batches of several parts and the methods that look at gradients."""
    methods = {name: method for name, method in ground.methods.items() if method.needs_gradient or method.observe}
    return replace(ground, methods=methods, networks=(FULLY_CONNECTED,), recipes=IN_PARTS)


def _no_gradients(ground: Ground) -> str | None:
    if FULLY_CONNECTED not in ground.networks:
        return f"the backend does not build {FULLY_CONNECTED}"
    return None if _in_parts(ground).methods else "the method looks at no gradient"


CHECKS = (
    Check(
        "rule", "updates give the masks that NumPy makes of the same signals", Walk,
        partial(walks, law=Law.SAME_EVERYWHERE), _follows, Law.SAME_EVERYWHERE,
        first=partial(every_method, law=Law.SAME_EVERYWHERE),
    ),
    Check(
        "full-batch", "masks follow the gradient of the whole batch, all its parts", Walk,
        lambda ground: walks(_in_parts(ground)), _follows, None, _no_gradients,
        lambda ground: every_method(_in_parts(ground)),
    ),
)  # fmt: skip
