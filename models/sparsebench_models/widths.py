"""How a network is made wider or narrower: functions from a channel count at width 1 to one at another width."""

from __future__ import annotations

from collections.abc import Callable

Channels = Callable[[int], int]


def as_they_are(channels: int) -> int:
    """Width 1."""
    return channels


def times(width: float) -> Channels:
    """c ↦ ⌊c·width⌋, at least 1."""
    return lambda channels: max(1, int(channels * width))


def times_in_eights(width: float) -> Channels:
    """c ↦ the multiple of 8 nearest to c·width, and not less than nine tenths of it.

    Source: Howard et al.'s reference code (`make_divisible`); timm's `round_channels` does the same.
    """

    def rounded(channels: int) -> int:
        wanted = channels * width
        near = max(8, int(wanted + 4) // 8 * 8)
        return near + 8 if near < 0.9 * wanted else near

    return rounded
