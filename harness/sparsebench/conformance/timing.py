"""What a method promises before and between its updates: its first masks, and when it updates them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sparsebench.conformance import plans
from sparsebench.conformance.arrays import made, same
from sparsebench.conformance.check import Check, require
from sparsebench.masks import Mask
from sparsebench.method import Law, Method

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

from sparsebench.conformance.functions import LAYERS, Functions


@dataclass(frozen=True)
class Start:
    """Where a run starts: every layer at this sparsity."""

    sparsity: float
    seed: int


def _starts(place: Functions) -> SearchStrategy[Start]:
    from hypothesis import strategies as st

    return st.builds(Start, st.sampled_from([0.5, 0.9, 0.0]) | st.floats(0, 0.99), st.integers(0, 2**63 - 2))


def _first(method: Method, sparsity: float, seed: int) -> dict[str, Mask]:
    drawn = [(layer, made("normal", seed % 2**32, layer.name, layer.shape)) for layer in LAYERS.values()]
    weights = {f"{layer.name}.weight": weight for layer, weight in drawn}
    return plans.first_masks(method, list(LAYERS.values()), sparsity, weights, seed)


def _counts(place: Functions, case: Start) -> None:
    for name, mask in _first(place.method, case.sparsity, case.seed).items():
        wanted = plans.first_count(place.method, LAYERS[name], case.sparsity)
        require(mask.sum() == wanted, f"the first mask of layer {name!r} has {mask.sum()} entries, not {wanted}")


def _seeds(place: Functions, case: Start) -> None:
    first, again = (_first(place.method, case.sparsity, case.seed) for _ in range(2))
    for name, mask in again.items():
        same(mask, first[name], f"the first mask of layer {name!r}, drawn again from seed {case.seed}")
    other = _first(place.method, case.sparsity, case.seed + 1)
    sparse = [name for name, mask in first.items() if 4 <= mask.sum() <= mask.size - 4]
    require(
        not sparse or any((first[name] != other[name]).any() for name in sparse),
        f"seeds {case.seed} and {case.seed + 1} give the same first masks, from other weights: a seed is ignored",
    )


def _draws(place: Functions) -> str | None:
    return "the method starts with all connections" if plans.starts_dense(place.method) else None


@dataclass(frozen=True)
class Run:
    """A run's length and the settings of its clock."""

    steps: int
    delta_t: int
    alpha: float
    begin: float
    end: float
    anneal: str


def _runs(place: Functions) -> SearchStrategy[Run]:
    """Runs that go on for ΔT iterations, at least, after the end of updates."""
    from hypothesis import strategies as st

    return st.builds(
        Run, st.integers(60, 300), st.integers(1, 15), st.sampled_from([0.3, 1.0]) | st.floats(0, 1),
        st.floats(0, 0.4), st.floats(0.6, 0.75), st.sampled_from(["cosine", "constant", "linear", "inverse-power"]),
    )  # fmt: skip


OTHERWISE: Mapping[str, Any] = {"delta_t": 7, "alpha": 0.123, "begin": 0.11, "end": 0.87, "anneal": "linear"}


def _clock(place: Functions, case: Run) -> None:
    settings = {name: getattr(case, name) for name in OTHERWISE}
    method = replace(place.method, **settings)
    events = method.events(case.steps)
    require(events == method.events(case.steps), "asked again, the method updates at other iterations")
    iterations = [event.iteration for event in events]
    require(iterations == sorted(set(iterations)), f"events are not one by one in order: {iterations}")
    for event in events:
        require(0 <= event.drop_fraction <= 1, f"iteration {event.iteration}: drops {event.drop_fraction} of all")
        require(0 <= event.sparsity_share <= 1, f"iteration {event.iteration}: share {event.sparsity_share}")
    for name in place.method.unread & set(OTHERWISE):
        other = replace(method, **{name: OTHERWISE[name]}).events(case.steps)
        require(other == events, f"{name} is said to be unread, and {OTHERWISE[name]} gives other updates")
    if events:
        last = events[-1].sparsity_share
        require(last == 1, f"the last update leaves {last} of the planned sparsity: runs must end at all of it")


CHECKS = (
    Check("first-masks", "first masks have the planned counts", Start, _starts, _counts, Law.EXACT_COUNTS, _draws),
    Check("seeds", "first masks follow from the seed", Start, _starts, _seeds, Law.SAME_EVERYWHERE, _draws),
    Check("clock", "updates come in order and end at the planned sparsity", Run, _runs, _clock),
)
"""In NumPy alone."""
