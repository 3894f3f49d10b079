"""How pictures look: a colour with a marker for each method, fill and dash for each backend, never a colour alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sparsebench_board.extra import needs_board
from sparsebench_board.labels import plain
from sparsebench_board.pictures.seeds import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTINGS: Any = {
    "svg.hashsalt": "sparsebench", "svg.fonttype": "none", "font.size": 9.0, "axes.titlesize": 9.5,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"], "legend.frameon": False, "legend.fontsize": 8.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.titlelocation": "left",
    "text.parse_math": False,  # a name may have dollars in it
}  # fmt: skip
BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#767676",
)  # fmt: skip
"""Colours of Okabe and Ito (2008), which colour-blind people tell apart, and a grey that is readable on white."""
QUIET = "#404040"
LABEL = 7.5
"""Size of a label within a panel, in points."""


@dataclass(frozen=True)
class Look:
    """Of a method: colour and marker, which no other has together."""

    colour: str
    marker: str | tuple[int, int, int]


KNOWN: Mapping[str, Look] = MappingProxyType(
    {
        "dense": Look(BLACK, "s"), "small-dense": Look(GREY, "s"), "small-dense-bits": Look(GREY, "D"),
        "static": Look(GREY, "X"), "set": Look(RED, "v"), "rigl": Look(BLUE, "o"),
        "snfs": Look(GREEN, "^"), "snfs-redistributed": Look(GREEN, ">"),
        "snip": Look(PURPLE, "d"), "snip-global": Look(PURPLE, "P"),
        "pruning": Look(ORANGE, "p"), "pruning-global": Look(ORANGE, (4, 1, 0)),
        "lottery": Look(SKY, "*"), "lottery-global": Look(SKY, "<"),
    }
)  # fmt: skip
"""The same in every picture."""
SPARE = tuple(
    look
    for marker in "oDvP^Xsd"
    for colour in (BLACK, RED, GREEN, BLUE, PURPLE, ORANGE)
    if (look := Look(colour, marker)) not in KNOWN.values()
)
"""For methods of others and for further settings of the known, in the order of their names."""
DASHES: Mapping[str, Any] = MappingProxyType({"torch": "-", "jax": (0, (4, 2))})
OTHER_DASH: Any = (0, (1, 1.5))


def looks(names: Mapping[str, tuple[str, frozenset[int]]]) -> dict[str, Look]:
    """The look of each name, given the method that it is of and the panels where it occurs.

    In a panel the first name of a method looks as the method does everywhere, further ones as nothing else does.
    """
    spare, taken, found = cycle(SPARE), defaultdict[str, set[int]](set), dict[str, Look]()
    for name, (method, panels) in names.items():
        own = method in KNOWN and taken[method].isdisjoint(panels)
        found[name] = KNOWN[method] if own else next(spare)
        taken[method] |= panels if own else set()
    return found


def dash(backend: str) -> Any:
    """Of a backend's lines."""
    return DASHES.get(backend, OTHER_DASH)


def face(look: Look, backend: str) -> str:
    """What fills a backend's markers: jax's are hollow."""
    return "white" if backend == "jax" else look.colour


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


# ---- curves and legends ---------------------------------------------------------------------------------------


def curve(axes: Axes, line: Line, look: Look, backend: str) -> None:
    """A mean over seeds with a band for its interval; some markers along it, where another backend's are not."""
    stride = max(2, len(line.x) // 8)
    first = stride // 2 if backend != "torch" and len(line.x) > stride else 0
    axes.plot(
        line.x, line.mean, color=look.colour, linestyle=dash(backend), linewidth=1.3, marker=look.marker, markersize=4,
        markevery=(first, stride), markerfacecolor=face(look, backend),
    )  # fmt: skip
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=look.colour, alpha=0.13, linewidth=0)


def handle(label: str, **look: Any) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=plain(label), **look)


def methods(found: Mapping[str, Look], line: str = "") -> list[Any]:
    """Entries of a legend for methods."""
    return [
        handle(name, color=look.colour, marker=look.marker, linestyle=line, markersize=6)
        for name, look in found.items()
    ]


def backends(names: Iterable[str], lines: bool = False) -> list[Any]:
    """Entries of a legend for backends, of markers and, where there are `lines`, of dashes."""
    black = Look(BLACK, "o")
    return [
        handle(name, color=BLACK, marker="o", markerfacecolor=face(black, name), markersize=6,
               linestyle=dash(name) if lines else "")
        for name in sorted(set(names))
    ]  # fmt: skip
