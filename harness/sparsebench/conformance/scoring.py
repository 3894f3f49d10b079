"""What a method's scores promise, whoever calls them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.conformance.arrays import ORDINARY, Floats, made, near
from sparsebench.conformance.check import Check, require
from sparsebench.conformance.spaces import Scored, call, drawn, roles, words
from sparsebench.layers import Layer
from sparsebench.method import Law, Local, Method, Signals

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

from sparsebench.conformance.functions import LAYERS, Functions

CLOSE = 1e-6
"""How far scores may be apart, relative to the largest: compilers fuse multiply-adds."""


@dataclass(frozen=True)
class Seen:
    """What a score looks at: kinds of weights and gradients, the share of active entries, and the seed of all."""

    layer: str
    weight: str
    gradient: str
    density: float
    seed: int


def _signals(method: Method, case: Seen) -> list[Any]:
    """(weight, gradient, mask, what was observed, key) of the layer; None where the method asks for no gradient."""
    layer = LAYERS[case.layer]
    weight, gradient, aux = (
        made(kind, case.seed, purpose, layer.shape)
        for kind, purpose in ((case.weight, "weight"), (case.gradient, "gradient"), (case.gradient, "aux"))
    )
    chance = np.random.Generator(np.random.Philox(key=[case.seed, 1])).random(layer.shape)
    asked = method.needs_gradient or method.observe
    return [
        weight,
        gradient if asked else None,
        chance < case.density,
        aux if method.observe else None,
        words(case.seed, 3, layer),
    ]


def _seen(place: Functions) -> SearchStrategy[Seen]:
    from hypothesis import strategies as st

    ordinary = st.sampled_from(list(ORDINARY))
    return st.builds(
        Seen, st.sampled_from(list(LAYERS)), ordinary, ordinary, st.sampled_from([0.5, 0.0, 1.0]), st.integers(0, 999)
    )


# ---- scores -----------------------------------------------------------------------------------------------------


def _sound(place: Functions, case: Seen) -> None:
    layer, signals = LAYERS[case.layer], _signals(place.method, case)
    for role in roles(place.method):
        function = Scored(place.method, role, layer)
        score, again = call(place.name, function, *signals), call(place.name, function, *signals)
        what, shape = f"{role} of layer {case.layer!r}", () if role == "redistribute" else layer.shape
        require(score.shape == shape, f"{what} has shape {score.shape}, not {shape}")
        require(score.dtype == np.float32 or role == "redistribute", f"{what} is {score.dtype}, not float32")
        require(np.isfinite(score).all(), f"{what} is not finite, though all that it looks at is")
        require(np.array_equal(score, again), f"{what}: called again with the same signals it gives another score")


def _not_hidden(place: Functions, case: Seen) -> None:
    layer, signals = LAYERS[case.layer], _signals(place.method, case)
    for role in roles(place.method):
        function = Scored(place.method, role, layer)
        score = call(place.name, function, *signals)
        for i, name in ((0, "weight"), (1, "gradient"), (3, "aux")):
            if signals[i] is None:
                continue
            for value in (np.nan, np.inf):
                bad = call(place.name, function, *signals[:i], _spoilt(signals[i], value), *signals[i + 1 :])
                hidden = np.isfinite(bad).all() and not np.array_equal(bad, score)
                require(
                    not hidden,
                    f"{role} of layer {case.layer!r} changes and stays finite where an entry of its {name} is {value}: "
                    "a network that diverged would go on",
                )


def _spoilt(array: Floats, value: float) -> Floats:
    bad = array.copy()
    bad.flat[np.abs(array).argmax()] = value
    return bad


def _local(place: Functions, case: Seen) -> None:
    layer, (weight, gradient, mask, aux, key) = LAYERS[case.layer], _signals(place.method, case)
    part = np.flatnonzero(np.arange(layer.size) % 3 != 1)
    for role in _local_roles(place.method):
        score = getattr(place.method, role)
        whole = Scored(place.method, role, layer)(np, weight, gradient, mask, aux, key).reshape(-1)[part]
        at = [None if array is None else array.reshape(-1)[part] for array in (weight, gradient, mask, aux)]
        noise = partial(_part_of_noise, layer, key, part)
        alone = score(np, layer, Signals(at[0], at[1], at[2], noise, role, at[3]))
        require(
            np.array_equal(alone, whole),
            f"{role} is declared Local, and two thirds of layer {case.layer!r} score otherwise alone than within it",
        )


def _part_of_noise(layer: Layer, key: Any, part: NDArray[np.intp], purpose: str) -> Any:
    return drawn(np, layer, key, purpose).reshape(-1)[part]


def _same_scores(place: Functions, case: Seen) -> None:
    signals = _signals(place.method, case)
    for role in roles(place.method):
        function = Scored(place.method, role, LAYERS[case.layer])
        ours, expected = call(place.name, function, *signals), call("numpy", function, *signals)
        within = CLOSE * float(np.abs(expected).max(initial=0))
        near(ours, expected, within, f"{role} of layer {case.layer!r} in {place.name} against NumPy")


def _scoreless(place: Functions) -> str | None:
    return None if roles(place.method) else "the method scores nothing"


def _nowhere_local(place: Functions) -> str | None:
    return None if _local_roles(place.method) else "no score is declared Local"


def _local_roles(method: Method) -> list[str]:
    return [role for role in roles(method) if isinstance(getattr(method, role), Local)]


CHECKS = (
    Check(
        "scores", "scores are finite float32, the same each time",
        Seen, _seen, _sound, Law.FINITE_SCORES, _scoreless,
    ),
    Check(
        "nan", "a NaN or infinity that a score looks at is not hidden",
        Seen, _seen, _not_hidden, Law.FINITE_SCORES, _scoreless,
    ),
)  # fmt: skip
"""In every namespace."""
ELSEWHERE = (
    Check("same-scores", "scores are NumPy's to 1e-6", Seen, _seen, _same_scores, Law.SAME_EVERYWHERE, _scoreless),
)
"""In every namespace but NumPy."""
ON_HOST = (
    Check("local", "a score declared Local looks at one entry at a time", Seen, _seen, _local, None, _nowhere_local),
)
"""In NumPy alone."""
