"""How pictures look: a colour, a marker and a dash for each method and backend, never a colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sparsebench_board.extra import needs_board
from sparsebench_board.labels import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.5
"""Inches, of every picture: a column of a page."""
SETTINGS: Any = {
    "svg.hashsalt": "sparsebench", "svg.fonttype": "none", "font.size": 9.0, "axes.titlesize": 10.0,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"], "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
}  # fmt: skip
BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#767676",
)  # fmt: skip
"""Colours of Okabe and Ito (2008), which colour-blind people tell apart, and a grey that is readable on white."""


@dataclass(frozen=True)
class Look:
    """Of a method: colour and marker, which no other has together."""

    colour: str
    marker: str


KNOWN = MappingProxyType(
    {
        "dense": Look(BLACK, "s"), "small-dense": Look(GREY, "s"), "small-dense-bits": Look(GREY, "D"),
        "static": Look(GREY, "X"), "set": Look(RED, "v"), "rigl": Look(BLUE, "o"),
        "snfs": Look(GREEN, "^"), "snfs-redistributed": Look(GREEN, ">"),
        "snip": Look(PURPLE, "d"), "snip-global": Look(PURPLE, "P"),
        "pruning": Look(ORANGE, "p"), "pruning-global": Look(ORANGE, "h"),
        "lottery": Look(SKY, "*"), "lottery-global": Look(SKY, "<"),
    }
)  # fmt: skip
"""The same in every picture."""
SPARE = tuple(Look(colour, marker) for marker in "oDvP^X" for colour in (BLACK, RED, GREEN, BLUE, PURPLE, ORANGE))
"""For methods of others, in the order of their names."""
DASHES = MappingProxyType({"torch": "-", "jax": (0, (4, 2))})
OTHER_DASH = (0, (1, 1.5))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """The look of each of some methods."""
    names = sorted(set(methods))
    spare = (look for _ in iter(int, 1) for look in SPARE if look not in KNOWN.values())
    return {name: KNOWN[name] if name in KNOWN else next(spare) for name in names}


def dash(backend: str) -> Any:
    """Of a backend's lines."""
    return DASHES.get(backend, OTHER_DASH)


def filled(backend: str) -> bool:
    """Whether a backend's markers are filled: all are but those of jax."""
    return backend != "jax"


@contextmanager
def applied() -> Iterator[None]:
    """Matplotlib's own defaults and `SETTINGS`, whatever the user's are.

    Raises:
        UserError: matplotlib is not installed.
    """
    with needs_board("matplotlib"):
        import matplotlib as mpl
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def panels(count: int, height: float, columns: int = 1, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure with as many panels, each `height` inches high, row by row; places that are left over stay empty."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, height * lines), layout="constrained")
    found = figure.subplots(lines, columns, squeeze=False, **shared).ravel().tolist()
    for axes in found:
        axes.grid(color="#e0e0e0", linewidth=0.6)
        axes.tick_params(colors="#404040")
    for axes in found[count:]:
        axes.remove()
    return figure, found[:count]


def told(figure: Figure, lines: Sequence[str]) -> None:
    """Notes below a picture."""
    if lines:
        figure.supxlabel(plain_lines(lines), fontsize=7.5, color="#404040", x=0.01, ha="left")


def plain_lines(lines: Sequence[str]) -> str:
    """Lines of printable characters."""
    return "\n".join(map(plain, lines))
