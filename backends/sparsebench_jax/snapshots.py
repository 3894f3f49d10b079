"""A jax run as plain arrays, by the names that every backend knows, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from sparsebench.snapshots import ASIDE, BFLOAT16, MOMENTS, STATISTIC, STEPS, under
from sparsebench_jax import layout

KINDS = {"trace": MOMENTS[0], "mu": MOMENTS[1], "nu": MOMENTS[2], "count": STEPS}
"""What optax's transformations call what they keep, and what it is."""
REST = f"{ASIDE}rest/"
OWN = "optimizer/"

Arrays = dict[str, NDArray[Any]]
Found = Mapping[str, NDArray[Any]]
Put = Callable[[NDArray[Any]], jax.Array]
Shapes = Mapping[str, Any]


def host(array: jax.Array | NDArray[Any]) -> NDArray[Any]:
    """A copy in canonical layout."""
    return np.array(layout.canonical(np.asarray(array)), order="C")


def rest_arrays(rest: Any) -> Arrays:
    """A module's running statistics by name, and its other variables, if it has any, in the order of the tree."""
    leaves = nnx.to_flat_state(rest)
    return {_rest_name(i, *leaf): np.array(leaf[1][...]) for i, leaf in enumerate(leaves)}


def _rest_name(i: int, path: tuple[Any, ...], leaf: Any) -> str:
    return STATISTIC + layout.name(path) if isinstance(leaf, nnx.BatchStat) else f"{REST}{i}"


def rest_filled(rest: Any, arrays: Found, put: Put) -> Any:
    """The same tree with what is in `arrays`; its own variables, which other backends do not have, may be missing.

    Raises:
        KeyError: a running statistic is missing.
    """

    def filled(name: str, leaf: Any) -> Any:
        missing = name.startswith(REST) and name not in arrays
        return leaf if missing else leaf.replace(put(arrays[name]))

    leaves = nnx.to_flat_state(rest)
    return nnx.from_flat_state([(leaf[0], filled(_rest_name(i, *leaf), leaf[1])) for i, leaf in enumerate(leaves)])


def needs_own(rest: Any, arrays: Found) -> bool:
    """Whether the module has variables of its own that are not in `arrays`."""
    names = (_rest_name(i, *leaf) for i, leaf in enumerate(nnx.to_flat_state(rest)))
    return any(name.startswith(REST) and name not in arrays for name in names)


def optimizer_arrays(state: Any, parameters: Shapes) -> Arrays:
    """What the optimizer keeps: by common names where it is what they say, else in the order of the tree."""
    arrays: Arrays = {}
    for name, leaf in zip(_names(state, parameters), jax.tree.leaves(state), strict=True):
        if name == STEPS:
            arrays |= {STEPS + each: np.array(leaf) for each in parameters}
        else:
            arrays[name] = np.array(leaf) if name.startswith(OWN) else host(leaf)
    return arrays


def optimizer_filled(shapes: Any, parameters: Shapes, arrays: Found, put: Put) -> Any:
    """The state of these shapes that the arrays describe.

    Other backends keep nothing for a parameter that no gradient has reached; here that is 0.

    Raises:
        KeyError: what it needs is missing.
    """
    leaves, tree = jax.tree.flatten(shapes)

    def filled(name: str, leaf: Any) -> jax.Array:
        if name == STEPS:
            return put(np.asarray(max(under(STEPS, arrays).values(), key=int), leaf.dtype))
        kind = next((kind for kind in MOMENTS if name.startswith(kind)), None)
        if kind and name not in arrays and under(kind, arrays):
            return put(np.zeros(leaf.shape, leaf.dtype))
        return put(arrays[name] if name.startswith(OWN) else layout.flax(arrays[name]))

    return jax.tree.unflatten(tree, [filled(*each) for each in zip(_names(shapes, parameters), leaves, strict=True)])


def _names(state: Any, parameters: Shapes) -> list[str]:
    """One for each leaf; a common name that two would have is neither's."""
    common = [_common(path, leaf, parameters) for path, leaf in jax.tree.leaves_with_path(state)]
    often = Counter(common)
    return [name if name and often[name] == 1 else f"{OWN}{i}" for i, name in enumerate(common)]


def _common(path: tuple[Any, ...], leaf: Any, parameters: Shapes) -> str:
    fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    kind = KINDS.get(fields[-1], "") if fields else ""
    if kind == STEPS:
        return STEPS if not names and leaf.shape == () and leaf.dtype == jnp.int32 else ""
    fits = len(names) == 1 and names[0] in parameters and leaf.shape == parameters[names[0]].shape
    return kind + names[0] if kind and fits else ""


def encoded(name: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """As a file can hold it: bfloat16 as its bits."""
    return (name + BFLOAT16, array.view(np.int16)) if array.dtype == jnp.bfloat16 else (name, array)


def decoded(name: str, array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """What `encoded` was given."""
    return (name.removesuffix(BFLOAT16), array.view(jnp.bfloat16)) if name.endswith(BFLOAT16) else (name, array)
