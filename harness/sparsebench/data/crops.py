"""Which part of an image is seen: pure functions of its size and, in training, of one random 64-bit integer.

Both are torchvision's definitions (`Resize` and `CenterCrop`, `RandomResizedCrop` and `RandomHorizontalFlip`) with
randomness of our own: raw integers of Philox, which are the same in every version of NumPy (NEP 19).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AREA = (0.08, 1.0)
"""Share of the image that a random crop covers, uniform (C. Szegedy et al., arXiv:1409.4842, section 6)."""
ASPECT = 4 / 3
"""Width / height of a random crop is between 1 / ASPECT and ASPECT, uniform in its logarithm."""
TRIES = 10
"""Random boxes tried until one fits into the image."""
WORDS = 3 + 2 * TRIES  # flip, area and aspect ratio of each try, left, top


@dataclass(frozen=True)
class Crop:
    """`box`: left, top, right, bottom in pixels of the image, within it; `flip`: left and right are exchanged."""

    box: tuple[float, float, float, float]
    flip: bool = False


def centre(width: int, height: int, size: int) -> Crop:
    """The box that is the central size × size once the shorter side has round(size · 256 / 224) pixels."""
    short = round(size * 256 / 224)
    longer = short * max(width, height) // min(width, height)
    columns, rows = (short, longer) if width <= height else (longer, short)
    left, top = round((columns - size) / 2), round((rows - size) / 2)
    right, bottom = left + size, top + size
    return Crop((left * width / columns, top * height / rows, right * width / columns, bottom * height / rows))


def random(width: int, height: int, draw: int) -> Crop:
    """The crop that a random 64-bit integer stands for: the first of ten random boxes that fits, flipped or not.

    If none fits it is the largest central box whose aspect ratio is allowed. Half of all integers flip.
    """
    flip, *tries, left, top = np.random.Philox(key=draw).random_raw(WORDS).tolist()
    for area, aspect in zip(tries[::2], tries[1::2], strict=True):
        columns, rows = _drawn(width * height, unit(area), unit(aspect))
        if 0 < columns <= width and 0 < rows <= height:
            break
    else:
        columns, rows = _largest(width, height)
        return Crop(_box((width - columns) // 2, (height - rows) // 2, columns, rows), flip >> 63 == 1)
    corner = below(left, width - columns + 1), below(top, height - rows + 1)
    return Crop(_box(*corner, columns, rows), flip >> 63 == 1)


def unit(word: int) -> float:
    """A 64-bit integer as a multiple of 2⁻⁵³ in [0, 1)."""
    return (word >> 11) * 2.0**-53


def below(word: int, limit: int) -> int:
    """A 64-bit integer as one of 0 … limit − 1."""
    return word * limit >> 64


def _drawn(pixels: int, area: float, aspect: float) -> tuple[int, int]:
    """Columns and rows of a box, from two numbers in [0, 1)."""
    target = pixels * (AREA[0] + area * (AREA[1] - AREA[0]))
    ratio = math.exp(math.log(ASPECT) * (2 * aspect - 1))
    return round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))


def _largest(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the largest box whose aspect ratio is allowed."""
    return min(width, round(height * ASPECT)), min(height, round(width * ASPECT))


def _box(left: int, top: int, columns: int, rows: int) -> tuple[float, float, float, float]:
    return left, top, left + columns, top + rows
