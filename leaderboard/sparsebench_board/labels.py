"""Numbers and names as people read them. Names come from files, so what could steer a terminal is replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsebench.printing import printable
from sparsebench_board.intervals import Interval

PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def plain(text: str) -> str:
    """One line of printable characters, wherever it is shown."""
    return printable(text)


def percent(mean: float, half_width: float | None) -> str:
    """`97.21 ± 0.35`, in points of a hundred; without the interval for a single seed."""
    return f"{100 * mean:.2f}" + ("" if half_width is None else f" ± {100 * half_width:.2f}")


def points(difference: float, half_width: float | None) -> str:
    """`+1.20 ± 0.35`, in points of a hundred, always with its sign; without the interval for a single seed."""
    middle = round(100 * difference, 2) + 0.0  # -0.0 + 0.0 is 0.0: what rounds to nothing has no sign of its own
    return f"{middle:+.2f}" + ("" if half_width is None else f" ± {100 * half_width:.2f}")


def accuracy(mean: float, spread: Interval) -> str:
    """`97.21 ± 0.35`, or with both ends where the interval is lopsided: `97.21 [96.80, 97.50]`."""
    return percent(mean, None) + _ends(spread) if spread.kind == "bca" else percent(mean, spread.half_width)


def gain(difference: float, spread: Interval) -> str:
    """`+1.20 ± 0.35` or `+1.20 [0.80, 1.50]`."""
    return points(difference, None) + _ends(spread) if spread.kind == "bca" else points(difference, spread.half_width)


def _ends(spread: Interval) -> str:
    low, high = (round(100 * (end or 0), 2) + 0.0 for end in (spread.low, spread.high))
    return f" [{low:.2f}, {high:.2f}]"


def size(difference: float | None) -> str:
    """`1.20`, in points of a hundred, of a difference without a direction."""
    return "" if difference is None else f"{100 * difference:.2f}"


def chance(p: float | None) -> str:
    """`0.012`, `<0.001`."""
    return "" if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def ratio(value: float | None) -> str:
    """`0.12×`; a third decimal below 0.1; `unknown` for None."""
    if value is None:
        return "unknown"
    return f"{value:.{2 if round(value, 3) >= 0.1 else 3}f}×"


def amount(count: float, unit: str) -> str:
    """`66 kB`, `1.2 TFLOP`: powers of 1000, two digits at least."""
    power = 0
    while round(count) >= 1000 and power < len(PREFIXES) - 1:
        count, power = count / 1000, power + 1
    digits = 1 if power and count < 10 else 0
    return f"{count:.{digits}f} {PREFIXES[power]}{unit}"


def speed(value: float) -> str:
    """`1,234`; two decimals below 10."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def pace(steps: float | None) -> str:
    """The same of steps a second; a dash where none was taken."""
    return "–" if steps is None else speed(steps)


def spans(numbers: Sequence[int]) -> str:
    """`0–2, 5` for 0, 1, 2, 5 (ascending)."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("–".join(map(str, part)) for part in parts)


def pairs(mapping: Mapping[str, Any]) -> str:
    """`delta_t=20, alpha=0.3`."""
    return ", ".join(f"{name}={_short(value)}" for name, value in mapping.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
