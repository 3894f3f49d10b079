"""Counter-based random scores: the same bits in NumPy, torch and JAX, on any device, in any order of evaluation.

An integer hash in wrap-around int32 arithmetic, keyed by (seed, iteration, layer, purpose). `>>` on int32 keeps
the sign, so each shift is followed by a mask that clears what the sign brought in.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

Key = tuple[Any, Any]
"""Two int32 values: Python integers on the host, traced scalars inside a compiled update."""


def key(seed: int, iteration: int, layer: str) -> tuple[int, int]:
    """The key of one layer's noise at one iteration, as two signed 32-bit integers."""
    return _words(f"{seed}/{iteration}/{layer}")


def stream(key: Key, purpose: str) -> Key:
    """An independent stream for one purpose under a key; works on traced keys."""
    low, high = _words(purpose)
    return key[0] ^ low, key[1] ^ high


def _words(text: str) -> tuple[int, int]:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    low, high = np.frombuffer(digest, "<i4").tolist()
    return low, high


def uniform(xp: Any, key: Key, shape: tuple[int, ...], device: Any = None) -> Any:
    """Float32 scores in [0, 1), multiples of 2⁻²⁴; entry j depends on the key and canonical flat index j only."""
    index = xp.arange(math.prod(shape), dtype=xp.int32, device=device)
    bits = _mix(_mix(index ^ key[0]) + key[1])
    fraction = xp.astype((bits >> 8) & 0x00FFFFFF, xp.float32) * 2.0**-24
    return xp.reshape(fraction, shape)


def _mix(x: Any) -> Any:
    """A bijection on 32 bits with low bias: the constants are C. Wellons's `lowbias32` (2018), as signed int32."""
    x = (x ^ ((x >> 16) & 0x0000FFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x0001FFFF)) * (0x846CA68B - (1 << 32))
    return x ^ ((x >> 16) & 0x0000FFFF)
