"""Whether updates refuse scores that are not finite: the run would go on with a mask that means nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sparsebench.conformance.check import BrokenLawError, Check, spread
from sparsebench.conformance.ground import Ground, claiming, places
from sparsebench.conformance.walks import begin, planned
from sparsebench.errors import NonFiniteScoreError
from sparsebench.layers import Layer
from sparsebench.masks import Counts, Masks
from sparsebench.method import Event, Law, Local, Score, Signals
from sparsebench.trainer import SparseTrainer

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Poison:
    """A score that is `value` at every entry of one layer, by its place among the layers."""

    method: str
    network: str
    recipe: str
    role: str
    layer: int
    value: str
    seed: int


def _poisons(ground: Ground) -> SearchStrategy[Poison]:
    from hypothesis import strategies as st

    return st.builds(
        spread(Poison),
        st.sampled_from(_updating(ground)),
        st.sampled_from([(network, ground.recipes[network][0]) for network in ground.networks]),
        st.sampled_from(["drop", "grow"]),
        st.integers(0, 2),
        st.sampled_from(["nan", "inf", "-inf"]),
        st.integers(0, 999),
    )


def _every_method(ground: Ground) -> list[Poison]:
    place = places(ground)[0]
    return [Poison(name, *place, role, 1, "nan", 0) for name in _updating(ground) for role in ("drop", "grow")]


def _updating(ground: Ground) -> list[str]:
    return [name for name in claiming(ground, Law.FINITE_SCORES) if ground.methods[name].updates]


def _none_updates(ground: Ground) -> str | None:
    return None if _updating(ground) else "the method never updates its masks"


def _refused(ground: Ground, case: Poison) -> None:
    trainer, method = ground.trainer, ground.methods[case.method]
    job = ground.checked(case.method, case.network, case.recipe)
    state = begin(trainer, job, method, 0.5, case.seed)
    state, _ = trainer.train(state, method, job.feed(case.seed), 0, 2)
    event = Event(2, 0.5, replaces_step=method.needs_gradient)
    now = {name: int(mask.sum()) for name, mask in trainer.masks(state).items()}
    counts, name = planned(job, method, trainer.masks(state), event, 0.5), job.prunable[case.layer].name
    if not _decides(case.role, counts[name], now[name]):
        return
    poisoned = replace(method, **{case.role: _poisoned(getattr(method, case.role), name, float(case.value))})
    before = trainer.masks(state)
    told = f"the {case.role} score of layer {name!r} is {case.value}"
    try:
        trainer.update(state, poisoned, event, counts, job.feed(case.seed))
    except NonFiniteScoreError as error:
        if repr(name) not in str(error):
            raise BrokenLawError(f"{told}, and the error names another: {error}") from error
        return _kept(trainer, state, before, told)
    raise BrokenLawError(f"{told}, and the update accepts it")


def _kept(trainer: SparseTrainer[Any], state: Any, before: Masks, told: str) -> None:
    """The state can still be read, for the record of the run that diverged."""
    after, _ = trainer.masks(state), trainer.weights(state)
    if any((after[name] != mask).any() for name, mask in before.items()):
        raise BrokenLawError(f"{told}: the update refuses it, and leaves other masks behind")


def _decides(role: str, counts: Counts, now: int) -> bool:
    """Whether scores of the role choose anything."""
    return counts.kept < now if role == "drop" else counts.grown > 0


def _poisoned(own: Score, name: str, value: float) -> Score:
    def score(xp: Any, layer: Layer, signals: Signals) -> Any:
        found = own(xp, layer, signals)
        return found * 0 + value if layer.name == name else found

    return Local(score) if isinstance(own, Local) else score


CHECKS = (
    Check(
        "finite", "updates refuse scores that are not finite, and name the layer",
        Poison, _poisons, _refused, Law.FINITE_SCORES, _none_updates, _every_method,
    ),
)  # fmt: skip
