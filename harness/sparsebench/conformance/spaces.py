"""A method's functions, called in an array namespace as backends call them: NumPy, torch, and JAX's compiler."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sparsebench import noise
from sparsebench.conformance import plans
from sparsebench.conformance.check import BrokenLawError
from sparsebench.layers import Layer
from sparsebench.method import Method, Select, Signals
from sparsebench.plugins import installed

Function = Callable[..., Any]
"""(xp, arrays …) -> an array or a tuple of them; hashable, since JAX compiles it once."""

NAMESPACES = {"numpy": "numpy", "torch": "torch", "jax": "jax"}
"""Name of a namespace -> the distribution it comes from."""


def present() -> list[str]:
    """The namespaces that are installed, NumPy's first."""
    return [name for name, distribution in NAMESPACES.items() if installed(distribution)]


def call(space: str, function: Function, *arguments: Any) -> Any:
    """`function(xp, *arguments)` with the arrays among its arguments moved there, and what it returns moved back."""
    return _returned(_CALLS[space](function, arguments))


def _in_numpy(function: Function, arguments: tuple[Any, ...]) -> Any:
    with np.errstate(all="ignore"):  # what comes of NaN and infinity is looked at
        return function(np, *arguments)


def _in_torch(function: Function, arguments: tuple[Any, ...]) -> Any:
    xp: Any = pkgutil.resolve_name("array_api_compat.torch")
    given = [xp.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in arguments]
    made = function(xp, *given)
    for old, new in zip(arguments, given, strict=True):
        if isinstance(old, np.ndarray) and new.numpy().tobytes() != old.tobytes():
            raise BrokenLawError("a function wrote to an array that it was given")
    return made


def _in_jax(function: Function, arguments: tuple[Any, ...]) -> Any:
    return _compiled(function)(*(np.int32(a) if isinstance(a, int) else a for a in arguments))


@cache
def _compiled(function: Function) -> Function:
    jax: Any = pkgutil.resolve_name("jax")
    return jax.jit(partial(function, jax.numpy))


_CALLS: dict[str, Callable[[Function, tuple[Any, ...]], Any]] = {
    "numpy": _in_numpy,
    "torch": _in_torch,
    "jax": _in_jax,
}


def _returned(made: Any) -> Any:
    if isinstance(made, tuple):
        return tuple(np.asarray(each) for each in cast("tuple[Any, ...]", made))
    return np.asarray(made)


# ---- the functions of a method ----------------------------------------------------------------------------------

Words = NDArray[np.int32]


def words(seed: int, iteration: int, layer: Layer) -> Words:
    """The key of a layer's noise, as backends pass it to compiled code."""
    return np.array(noise.key(seed, iteration, layer.name), np.int32)


@dataclass(frozen=True)
class Scored:
    """One of a method's functions of the signals of a layer, by its role."""

    method: Method
    role: str
    layer: Layer

    def __call__(self, xp: Any, weight: Any, gradient: Any, mask: Any, aux: Any, key: Any) -> Any:
        """What the method makes of the signals."""
        if self.role == "observe":
            return self.function(xp, self.layer, aux, weight, gradient)
        seen = gradient if self.method.needs_gradient and self.role != "start" else None
        signals = Signals(weight, seen, mask, partial(drawn, xp, self.layer, key), self.role, aux)
        return self.function(xp, self.layer, signals)

    @property
    def function(self) -> Any:
        """The method's own."""
        return getattr(self.method, self.role)


def drawn(xp: Any, layer: Layer, key: Any, purpose: str) -> Any:
    """`Signals.noise` in any namespace."""
    return noise.uniform(xp, noise.stream((key[0], key[1]), purpose), layer.shape)


def roles(method: Method) -> list[str]:
    """The functions of signals that a run of the method calls."""
    found = [] if plans.starts_dense(method) else ["start"]
    found += ["drop", "grow"] if method.updates else []
    found += ["observe"] if method.observe else []
    return found + (["redistribute"] if method.redistribute else [])


@dataclass(frozen=True)
class Selected:
    """A method's selection; compiled once for a shape, whatever the method's scores."""

    select: Select

    def __call__(self, xp: Any, score: Any, count: Any, among: Any) -> Any:
        """The entries chosen by given scores."""
        return self.select(xp, score, count, among)
