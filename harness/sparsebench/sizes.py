"""Amounts of bytes as people read them."""

from __future__ import annotations

import math

UNITS = ("B", "kB", "MB", "GB", "TB")


def written(count: float) -> str:
    """`1.2 MB`."""
    step = min(len(UNITS) - 1, int(math.log10(count) // 3)) if count >= 1 else 0
    number = count / 1000**step
    return f"{number:.{0 if step == 0 or number >= 10 else 1}f} {UNITS[step]}"
