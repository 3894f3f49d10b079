"""Masks in files: a bit for each entry, in canonical flat order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

COPIES = 12
"""Bytes of memory that a byte of masks takes: the file, a copy, eight entries, and room to spare."""


def packed(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.uint8]]:
    """Each mask as bits, eight to a byte, highest bit first, in canonical flat order."""
    return {name: np.packbits(np.ascontiguousarray(mask).reshape(-1)) for name, mask in masks.items()}


def unpacked(bits: NDArray[np.uint8], shape: Any) -> NDArray[np.bool_]:
    """The mask of that shape, which a file says and which may be anything.

    Raises:
        ValueError: it is no shape, or not that of so many bits.
    """
    lengths = cast("list[Any]", shape if isinstance(shape, list) else [None])
    if any(type(length) is not int or length < 0 for length in lengths):
        raise ValueError("masks.safetensors: a shape is no list of lengths")
    if bits.dtype != np.uint8 or bits.shape != (-(-math.prod(lengths) // 8),):
        raise ValueError(f"masks.safetensors holds {bits.dtype} {bits.shape} for a mask of shape {tuple(lengths)}")
    return np.unpackbits(bits, count=math.prod(lengths)).reshape(lengths).view(np.bool_)
