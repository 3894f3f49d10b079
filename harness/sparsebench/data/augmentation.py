"""Crop and flip of images in memory as rows and columns to take: drawn on the host, done on the device by a gather.

The device computes nothing, so augmented batches are the same to the bit on every backend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsebench.layers import Image

PADDING = 4
"""Pixels by which an image is continued on each side, mirrored at its edge: the edge pixels appear twice."""


def windows(draws: NDArray[np.uint64], image: Image) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows int32 (…, height) and columns int32 (…, width) of each view, from a random 64-bit integer for each.

    A window of the image's own size, anywhere in the padded image, flipped left to right in half of all cases.
    Source: the RigL code's `cifar_resnet/data_helper.py`, after Zagoruyko and Komodakis, Wide Residual Networks, 2016.
    """
    height, width = image
    rows = _mirrored(_offsets(draws, 0)[..., None] + np.arange(height), height)
    columns = _mirrored(_offsets(draws, 16)[..., None] + np.arange(width), width)
    flipped = (draws >> np.uint64(32) & np.uint64(1)).astype(np.bool_)[..., None]
    return rows, np.where(flipped, columns[..., ::-1], columns)


def _offsets(draws: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
    """−4 … 4, from 16 bits: each comes up once in nine, to 1.4e-4 of it."""
    bits = (draws >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64)
    return (bits * (2 * PADDING + 1) >> 16) - PADDING


def _mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    """Places in −size … 2·size − 1 as places in the image."""
    inner = np.where(places < 0, -1 - places, places)
    return np.where(inner >= size, 2 * size - 1 - inner, inner).astype(np.int32)
