"""What the properties range over: scores that are hard to order, masks, memory layouts, layers, namespaces."""

import math
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsebench.layers import Layer
from sparsebench.method import Event

# ---- shapes and layers ----------------------------------------------------------------------------------------

_TRIVIAL = [(0,), (1,), (1, 1), (6, 0), (0, 4), (1, 1, 1, 1), (4, 0, 3, 3)]
_USUAL = [(37,), (9, 5), (12, 16), (5, 3, 3, 2), (8, 4, 1, 1)]
shapes = st.sampled_from(3 * _USUAL + _TRIVIAL)
compiled_shapes = st.sampled_from([(1, 1), (6, 0), (5, 3, 3, 2)])
"""Few, because JAX compiles once for each."""
sparsities = st.sampled_from([0.0, 0.5, 0.9, 0.98, 1 - 2**-53]) | st.floats(0, 1, exclude_max=True)
fractions = st.sampled_from([0.0, 0.3, 1.0]) | st.floats(0, 1)
seeds = st.integers(0, 2**63 - 1)
events = st.builds(Event, st.integers(0, 10**6), drop_fraction=fractions, sparsity_share=fractions)


def layer(shape, name="fc"):
    """A layer of a shape; the multiply-adds do not matter here."""
    return Layer(name, shape, "conv" if len(shape) == 4 else "linear", math.prod(shape))


@st.composite
def tables(draw, convolutions=True):
    """Layers of a network, fully connected ones last; sizes from one entry up, many of them alike."""
    width = st.sampled_from([1, 2, 3, 8, 10, 64, 300]) | st.integers(1, 600)
    kernel = st.sampled_from([(1, 1), (3, 3), (7, 7), (1, 5)])
    conv = st.tuples(width, width, kernel).map(lambda drawn: (*drawn[:2], *drawn[2]))
    found = draw(st.lists(conv, max_size=6)) if convolutions else []
    found += draw(st.lists(st.tuples(width, width), min_size=not found, max_size=4))
    return tuple(layer(shape, f"layer{i}") for i, shape in enumerate(found))


# ---- arrays ---------------------------------------------------------------------------------------------------

_SMALLEST, _NORMAL, _LARGEST = 2.0**-149, 2.0**-126, float(np.finfo(np.float32).max)
_EDGES = [0.0, -0.0, _SMALLEST, -_SMALLEST, _NORMAL - _SMALLEST, _SMALLEST - _NORMAL, _NORMAL, -_NORMAL]
_POOLS = (
    [0.0, -0.0],
    [1.0, 2.0, 3.0],
    [-1.0, -0.0, 0.0, 1.0],
    _EDGES,
    [*_EDGES, 1.0, -1.0, _LARGEST, -_LARGEST, float(np.nextafter(np.float32(1), np.float32(2)))],
)


def scores(shape):
    """Finite float32: heavy ties, all equal, 90 % zeros, ±0, subnormals, the largest and the smallest, or normal."""
    anything = st.floats(width=32, allow_nan=False, allow_infinity=False)
    generators = st.integers(0, 2**32).map(np.random.default_rng)
    return st.one_of(
        st.tuples(generators, st.sampled_from(_POOLS)).map(lambda drawn: _dealt(*drawn, shape)),
        generators.map(lambda generator: generator.standard_normal(shape, np.float32)),
        st.integers(0, 2**32).map(lambda seed: mostly_zero(shape, seed)),
        anything.map(lambda value: np.full(shape, value, np.float32)),
        arrays(np.float32, shape, elements=anything),
    )


def _dealt(generator, pool, shape):
    return generator.choice(np.array(pool, np.float32), shape)


def mostly_zero(shape, seed):
    """Normal values, nine of ten replaced by 0."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape, np.float32)
    return np.where(generator.random(shape) < 0.9, np.float32(0), values)


def masks(shape):
    """Any mask, all and none included."""
    return st.one_of(
        st.sampled_from([True, False]).map(lambda value: np.full(shape, value)),
        st.tuples(st.integers(0, 2**32), st.floats(0, 1)).map(
            lambda drawn: np.random.default_rng(drawn[0]).random(shape) < drawn[1]
        ),
    )


layouts = st.sampled_from(["canonical", "flax", "reversed axes", "every second", "backwards"])


def laid_out(array, layout):
    """The same array as a view of memory in another order, or with gaps."""
    match layout:
        case "flax" if array.ndim in (2, 4):
            axes = (1, 0) if array.ndim == 2 else (2, 3, 1, 0)
            return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))
        case "reversed axes":
            return np.ascontiguousarray(array.T).T
        case "every second":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        case "backwards":
            return np.ascontiguousarray(array[::-1])[::-1]
        case _:
            return np.ascontiguousarray(array)


# ---- namespaces -----------------------------------------------------------------------------------------------


def in_numpy(function, fixed, *arguments):
    """`function(np, *fixed, *arguments)` on read-only arrays, as views of JAX's buffers are."""
    for array in arguments:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return function(np, *fixed, *arguments)


def in_torch(function, fixed, *arguments):
    """The same on tensors that share nothing with the arrays."""
    xp = pytest.importorskip("array_api_compat.torch")
    tensors = (xp.from_numpy(a.copy("K")) if isinstance(a, np.ndarray) else a for a in arguments)
    return function(xp, *fixed, *tensors)


def in_jax(function, fixed, *arguments):
    """The same compiled; `fixed` is static, everything after it is traced."""
    pytest.importorskip("jax")
    return _compiled(function, fixed)(*arguments)


@cache
def _compiled(function, fixed):
    import jax

    return jax.jit(partial(function, jax.numpy, *fixed))


everywhere = pytest.mark.parametrize("call", [in_numpy, in_torch, in_jax])
on_devices = pytest.mark.parametrize("call", [in_torch, in_jax])
