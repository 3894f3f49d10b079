"""What a method's selection promises: exact counts, and one order of equal scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance import oracle, plans
from sparsebench.conformance.arrays import HARD, NORMAL, Floats, made, same
from sparsebench.conformance.check import BrokenLawError, Check, require
from sparsebench.conformance.spaces import Selected, call
from sparsebench.masks import Counts, Mask
from sparsebench.method import Event, Law, Method
from sparsebench.selection import top

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

from sparsebench.conformance.functions import LAYERS, Functions


@dataclass(frozen=True)
class Update:
    """One update of a layer by scores of one kind: how sparse, how much is dropped."""

    layer: str
    scores: str
    sparsity: float
    drop_fraction: float
    seed: int


def _updates(place: Functions) -> SearchStrategy[Update]:
    from hypothesis import strategies as st

    sparsity = st.sampled_from([0.5, 0.75, 0.9]) | st.floats(0.05, 0.95)
    fraction = st.sampled_from([0.5, 0.0, 1.0]) | st.floats(0, 1)
    layers, kinds = st.sampled_from(list(LAYERS)), st.sampled_from(list(HARD))
    return st.builds(Update, layers, kinds, sparsity, fraction, st.integers(0, 999))


def _asked(method: Method, case: Update) -> tuple[Floats, Floats, Mask, Counts]:
    """(drop scores, grow scores, mask before, what the harness would ask for)."""
    layer = LAYERS[case.layer]
    weights = {f"{case.layer}.weight": made("normal", case.seed, "weight", layer.shape)}
    everywhere = np.ones(layer.shape, np.bool_)
    mask = plans.first_masks(method, [layer], case.sparsity, weights, case.seed).get(case.layer, everywhere)
    event = Event(3, case.drop_fraction)
    counts = plans.counts(method, [layer], case.sparsity, {case.layer: int(mask.sum())}, event)
    drop, grow = (made(case.scores, case.seed, purpose, layer.shape) for purpose in ("drop", "grow"))
    return drop, grow, mask, counts[case.layer]


def _select(place: Functions, score: Floats, count: int, among: Mask) -> Mask:
    return call(place.name, Selected(place.method.select), score, count, among)


def _chosen(place: Functions, case: Update) -> tuple[Mask, Mask]:
    """(what stays, what joins it)."""
    drop, grow, mask, counts = _asked(place.method, case)
    stays = _select(place, drop, counts.kept, mask)
    return stays, _select(place, grow, counts.grown, ~stays)


def _exact(place: Functions, case: Update) -> None:
    drop, grow, mask, counts = _asked(place.method, case)
    stays, joins = _chosen(place, case)
    for name, mask_of, wanted, among, score in (
        ("stay", stays, counts.kept, mask, drop),
        ("join", joins, counts.grown, ~stays, grow),
    ):
        what = f"layer {case.layer!r}, {case.scores}"
        require(mask_of.dtype == np.bool_, f"{what}: a mask is {mask_of.dtype}, not bool")
        require(mask_of.sum() == wanted, f"{what}: {mask_of.sum()} entries {name} where {wanted} should")
        require(not (mask_of & ~among).any(), f"{what}: entries {name} that are no candidates")
        _ties(place, name, mask_of, score, among, wanted)


def _ties(place: Functions, name: str, found: Mask, score: Floats, among: Mask, count: int) -> None:
    """As if of equal scores the earlier were higher: that holds for structured selections too."""
    plain = place.method.select is top
    expected = oracle.top(score, count, among) if plain else _select(place, _without_ties(score), count, among)
    for j in np.flatnonzero(found != expected)[:1]:
        rivals = np.flatnonzero((found != expected) & (_flushed(score) == _flushed(score).reshape(-1)[j]))
        raise BrokenLawError(
            f"entries {', '.join(map(str, rivals[:4]))} have equal scores, and those that {name} are not the first: "
            "ties go to the lowest canonical flat index"
            if len(rivals) > 1
            else f"entry {j}, which {'should not' if found.reshape(-1)[j] else 'should'} {name}, is decided otherwise"
        )


def _flushed(score: Floats) -> NDArray[Any]:
    return np.where(np.abs(score) < NORMAL, np.float32(0), score)


def _without_ties(score: Floats) -> Floats:
    """Other scores in the same order, in which of equal ones the first is the highest."""
    order = oracle.ranked(score, np.ones(score.shape, np.bool_))
    ranks = np.empty(score.size, np.float32)
    ranks[order] = -np.arange(score.size)
    return ranks.reshape(score.shape)


def _same_selection(place: Functions, case: Update) -> None:
    found = _chosen(place, case)
    expected = _chosen(replace(place, name="numpy"), case)
    for name, ours, theirs in zip(("stays", "joins"), found, expected, strict=True):
        same(ours, theirs, f"what {name} in layer {case.layer!r} in {place.name} against NumPy")


def _chooses(place: Functions) -> str | None:
    return None if place.method.updates else "the method never updates its masks"


CHECKS = (
    Check(
        "selection", "selects exact counts, of equal scores the lowest indices",
        Update, _updates, _exact, Law.EXACT_COUNTS, _chooses,
    ),
)  # fmt: skip
"""In every namespace."""
ELSEWHERE = (
    Check(
        "same-masks", "equal scores give NumPy's masks to the bit",
        Update, _updates, _same_selection, Law.SAME_EVERYWHERE, _chooses,
    ),
)  # fmt: skip
"""In every namespace but NumPy."""
