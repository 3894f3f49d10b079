"""What holds of masks and weights all along a run: laws of a method on a backend, read off one transcript."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise
from sparsebench.conformance.arrays import same
from sparsebench.conformance.check import Check, require
from sparsebench.conformance.ground import Ground, Walk, claiming, every_method, statistics_of, walks
from sparsebench.conformance.walks import Frame, Move, Transcript
from sparsebench.layers import Layer
from sparsebench.masks import host_noise
from sparsebench.method import Law, Signals

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _counts(ground: Ground, case: Walk) -> None:
    run = ground.transcript(case)
    names = [] if run.method.dense else [layer.name for layer in run.task.prunable]
    for before, move, after in run.pairs():
        when = f"iteration {move.iteration}"
        require(sorted(after.masks) == sorted(names), f"{when}: masks of {sorted(after.masks)}, not of {sorted(names)}")
        if move.event is None:
            for name, mask in after.masks.items():
                same(mask, before.masks[name], f"{when}, the mask of {name!r} after a step without an update")
        else:
            _planned(run, move, after, when)
            _reported(before, move, after, when)


def _planned(run: Transcript, move: Move, after: Frame, when: str) -> None:
    found, wanted = after.active(), {name: counts.active for name, counts in move.budget.items()}
    if run.method.moves_counts:
        total, planned = sum(found.values()), sum(wanted.values())
        require(total == planned, f"{when}: {total} active entries in all layers, {planned} planned")
        return
    for name, count in wanted.items():
        require(found[name] == count, f"{when}: layer {name!r} has {found[name]} active entries, {count} planned")


def _reported(before: Frame, move: Move, after: Frame, when: str) -> None:
    changes = move.report.layers if move.report else {}
    for name, new in after.masks.items():
        old, change = before.masks[name], changes[name]
        told = (change.active, change.grown, change.dropped)
        true = tuple(int(mask.sum()) for mask in (new, new & ~old, old & ~new))
        require(told == true, f"{when}: the report of layer {name!r} says {told} active, grown, dropped; it is {true}")


def _zero(ground: Ground, case: Walk) -> None:
    run = ground.transcript(case)
    frames = [("at the start", run.first), *((f"after iteration {m.iteration}", after) for m, after in run.moves)]
    for when, frame in frames:
        for name, mask in frame.masks.items():
            stray = np.flatnonzero(frame.weights[f"{name}.weight"].reshape(-1) * ~mask.reshape(-1))
            require(
                not stray.size,
                f"{when}, {stray.size} weights of layer {name!r} are not 0 outside its mask, entry "
                f"{stray[:1].tolist()} first",
            )


def _kept_and_grown(ground: Ground, case: Walk) -> None:
    run = ground.transcript(case)
    table = {layer.name: layer for layer in run.task.prunable}
    for before, move, after in run.updates():
        when = f"after the update of iteration {move.iteration}"
        for name, new in after.masks.items():
            old, weight = before.masks[name], after.weights[f"{name}.weight"]
            stayed, joined = new & old, new & ~old
            was = before.weights[f"{name}.weight"]
            same(weight[stayed], was[stayed], f"{when}, kept weights of layer {name!r}")
            start = _declared(run, table[name], before, move.iteration)
            same(weight[joined] + 0, start[joined], f"{when}, grown weights of layer {name!r}")
        for name in after.weights.keys() - {f"{name}.weight" for name in after.masks} - statistics_of(run.task):
            same(after.weights[name], before.weights[name], f"{when}, {name}, which has no mask")


def _declared(run: Transcript, layer: Layer, before: Frame, iteration: int) -> NDArray[np.float32]:
    """What grown connections are to start at."""
    weight = before.weights[f"{layer.name}.weight"]
    if run.method.value is None:
        return np.zeros_like(weight)
    drawn = host_noise(layer, noise.key(run.seed, iteration, layer.name))
    return run.method.value(np, layer, Signals(weight, None, before.masks[layer.name], drawn, "grow"))


def _monotone(ground: Ground, case: Walk) -> None:
    for before, move, after in ground.transcript(case).updates():
        for name, new in after.masks.items():
            back = np.flatnonzero(new & ~before.masks[name])
            require(
                not back.size,
                f"iteration {move.iteration}: {back.size} pruned connections of layer {name!r} return",
            )


def _pattern(ground: Ground, case: Walk) -> None:
    run = ground.transcript(case)
    frames = [("at the start", run.first), *((f"after iteration {m.iteration}", after) for m, after in run.moves)]
    if pattern := run.method.pattern:
        for layer, (when, frame) in itertools.product(run.task.prunable, frames):
            told = f"{when}, the mask of layer {layer.name!r} does not follow {pattern}"
            require(pattern.holds(layer, frame.masks[layer.name]), told)


def _patterned(ground: Ground) -> list[str]:
    return [name for name, method in ground.methods.items() if method.pattern]


def _patterned_walks(ground: Ground) -> SearchStrategy[Walk]:
    return walks(ground, names=_patterned(ground))


def _every_pattern(ground: Ground) -> list[Walk]:
    names = _patterned(ground)
    return [case for case in every_method(ground) if case.method in names]


def _no_pattern(ground: Ground) -> str | None:
    return None if _patterned(ground) else "no pattern is asked of its masks"


def _nobody(law: Law, ground: Ground) -> str | None:
    return None if claiming(ground, law) else f"no method claims {law.name.lower()}"


def _of(name: str, told: str, holds: object, law: Law) -> Check:
    held: Any = holds
    drawn, first = partial(walks, law=law), partial(every_method, law=law)
    return Check(name, told, Walk, drawn, held, law, partial(_nobody, law), first)


CHECKS = (
    _of("counts", "exactly the planned counts after every update, and told truly", _counts, Law.EXACT_COUNTS),
    _of("zero-outside", "weights are 0 outside the mask after every step", _zero, Law.ZERO_OUTSIDE),
    _of("kept-and-grown", "kept weights stay to the bit, new ones start as declared", _kept_and_grown, Law.FRESH_STATE),
    Check(
        "pattern", "masks follow the method's pattern, from the first one on", Walk, _patterned_walks, _pattern,
        idle=_no_pattern, first=_every_pattern,
    ),
    _of("monotone", "nothing that was pruned returns", _monotone, Law.MONOTONE),
)  # fmt: skip
