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
WORDS = 3 + 2 * TRIES  # flip, left, top; area and aspect ratio of each try


@dataclass(frozen=True)
class Crop:
    """`box`: left, top, right, bottom in pixels of the image, within it; `flip`: left and right are exchanged."""

    box: tuple[int, int, int, int]
    flip: bool


def centre(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """What becomes the central size × size once the shorter side has round(size · 256 / 224) pixels.

    Left, top, right, bottom in pixels of the image, fractions of them included.
    """
    short = round(size * 256 / 224)
    longer = short * max(width, height) // min(width, height)
    columns, rows = (short, longer) if width <= height else (longer, short)
    left, top = round((columns - size) / 2), round((rows - size) / 2)
    return left * width / columns, top * height / rows, (left + size) * width / columns, (top + size) * height / rows


def random(width: int, height: int, draw: int) -> Crop:
    """The crop that a random 64-bit integer stands for: the first of ten random boxes that fits, flipped or not.

    If none fits it is the largest central box whose aspect ratio is allowed. Half of all integers flip.
    """
    flip, left, top, *tries = np.random.Philox(key=draw).random_raw(WORDS).tolist()
    boxes = (_drawn(width * height, area, aspect) for area, aspect in zip(tries[::2], tries[1::2], strict=True))
    fitting = next((box for box in boxes if 0 < box[0] <= width and 0 < box[1] <= height), None)
    columns, rows = fitting or _largest(width, height)
    free = width - columns, height - rows
    x, y = (below(left, free[0] + 1), below(top, free[1] + 1)) if fitting else (free[0] // 2, free[1] // 2)
    return Crop((x, y, x + columns, y + rows), flip >> 63 == 1)


def unit(word: int) -> float:
    """A 64-bit integer as a multiple of 2⁻⁵³ in [0, 1)."""
    return (word >> 11) * 2.0**-53


def below(word: int, limit: int) -> int:
    """A 64-bit integer as one of 0 … limit − 1."""
    return word * limit >> 64


def _drawn(pixels: int, area: int, aspect: int) -> tuple[int, int]:
    """Columns and rows of a box, from two 64-bit integers; it need not fit."""
    target = pixels * (AREA[0] + unit(area) * (AREA[1] - AREA[0]))
    ratio = math.exp(math.log(ASPECT) * (2 * unit(aspect) - 1))
    return round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))


def _largest(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the largest box whose aspect ratio is allowed."""
    return min(width, round(height * ASPECT)), min(height, round(width * ASPECT))
