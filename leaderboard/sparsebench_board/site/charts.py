"""Small pictures drawn by hand, since a page has hundreds: intervals beside numbers, and curves of a cell's runs.

SVG that takes its colours from the page. There is no text in them but numbers and words of ours.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# ---- intervals ------------------------------------------------------------------------------------------------

SPAN, HEIGHT = 132, 16
"""Of an interval's picture, in its own units."""
EDGE = 4
FENCE = 3.0
"""What lies further out than so many quartile distances is drawn at the edge: the rest stays readable."""


@dataclass(frozen=True)
class Spread:
    """A mean and the ends of its interval, if it has one."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scale:
    """From values to places in an interval's picture; `mark` is a value that all are compared with."""

    low: float
    high: float
    mark: float | None = None

    def place(self, value: float) -> float:
        """Within the picture, whatever the value is."""
        share = (value - self.low) / (self.high - self.low)
        return EDGE + (SPAN - 2 * EDGE) * min(1.0, max(0.0, share))

    def holds(self, value: float) -> bool:
        """Whether it is within the scale."""
        return self.low <= value <= self.high


def scale(spreads: Sequence[Spread], mark: float | None = None) -> Scale:
    """One for all of them: as wide as the means, outliers aside, and as half of the intervals need."""
    means = [spread.mean for spread in spreads] + ([] if mark is None else [mark])
    widths = [spread.high - spread.low for spread in spreads if spread.low is not None and spread.high is not None]
    low, high = _fenced(means)
    margin = max((statistics.median(widths) / 2) if widths else 0.0, 0.06 * (high - low), 1e-4)
    return Scale(low - margin, high + margin, mark)


def _fenced(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest value, those far out left aside."""
    if len(values) < 4:
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    reach = FENCE * (third - first)
    within = [value for value in values if first - reach <= value <= third + reach]
    return min(within), max(within)


def whisker(spread: Spread, scale: Scale) -> Markup:
    """A dot at the mean, a line over the interval; what goes beyond the scale ends in an arrow."""
    middle = HEIGHT / 2
    parts: list[str] = []
    if scale.mark is not None:
        x = scale.place(scale.mark)
        parts.append(f'<path class="mark" d="M{x:.1f} 0V{HEIGHT}"/>')
    if spread.low is not None and spread.high is not None:
        left, right = scale.place(spread.low), scale.place(spread.high)
        parts.append(f'<path class="span" d="M{left:.1f} {middle}H{right:.1f}"/>')
        parts += [_arrow(EDGE, -1)] if spread.low < scale.low else []
        parts += [_arrow(SPAN - EDGE, 1)] if spread.high > scale.high else []
    x = scale.place(spread.mean)
    shape = f'<circle cx="{x:.1f}" cy="{middle}" r="3"/>' if scale.holds(spread.mean) else _beyond(x)
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="whisker" viewBox="0 0 {SPAN} {HEIGHT}" aria-hidden="true">{"".join(parts)}{shape}</svg>'
    )


def _arrow(x: float, way: int) -> str:
    middle = HEIGHT / 2
    return f'<path class="span" d="M{x - 3 * way} {middle - 3}L{x} {middle}L{x - 3 * way} {middle + 3}"/>'


def _beyond(x: float) -> str:
    """A hollow dot: the mean is further out."""
    return f'<circle class="hollow" cx="{x:.1f}" cy="{HEIGHT / 2}" r="2.5"/>'


# ---- curves ---------------------------------------------------------------------------------------------------

WIDE, TALL = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 12, 30
FEW = 6
"""Lines that dashes can tell apart; more are drawn alike."""


@dataclass(frozen=True)
class Curve:
    """Points of one run, x ascending."""

    seed: int
    x: Sequence[float]
    y: Sequence[float]


def curves(found: Sequence[Curve], title: str) -> Markup | None:
    """Lines over iterations, one for each run; None where no run has a point."""
    points = [(x, y) for curve in found for x, y in zip(curve.x, curve.y, strict=True)]
    if not points:
        return None
    last, up = max(x for x, _ in points), ticks(min(y for _, y in points), max(y for _, y in points))
    across = [x for x in ticks(0, last) if x <= last]
    width, height = WIDE - LEFT - RIGHT, TALL - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + width * x / (last or 1), TOP + height * (up[-1] - y) / (up[-1] - up[0])

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="{escape(title)}">',
        *(_level(place(0, y)[1], y) for y in up),
        *(_stop(place(x, up[0])[0], x) for x in across),
        *(_line([place(x, y) for x, y in zip(curve.x, curve.y, strict=True)], look, len(found))
          for look, curve in enumerate(found) if curve.x),
        "</svg>",
    ]  # fmt: skip
    return Markup("".join(parts))  # noqa: S704 - numbers, and a title that was escaped


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that enclose both ends."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * k for k in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _level(y: float, value: float) -> str:
    return (
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDE - RIGHT}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _stop(x: float, value: float) -> str:
    return f'<text x="{x:.1f}" y="{TALL - 10}" text-anchor="middle">{value:,.10g}</text>'


def _line(points: Sequence[tuple[float, float]], look: int, lines: int) -> str:
    style = f"line look{look}" if lines <= FEW else "line many"
    if len(points) == 1:
        return f'<circle class="{style}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
    return f'<polyline class="{style}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
