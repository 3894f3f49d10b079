"""How pictures look: colour and marker for each name, fill and dash for each backend, never a colour alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, cycle, product
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
Point = tuple[float, float]
Marker = str | tuple[int, int, int] | tuple[Point, ...]


def _outline(*corners: Point) -> tuple[Point, ...]:
    return *corners, corners[0]


HOURGLASS = _outline((-1, -1), (1, -1), (-1, 1), (1, 1))
BOW = _outline((-1, -1), (-1, 1), (1, -1), (1, 1))
WIDE = _outline((-1, -0.4), (1, -0.4), (1, 0.4), (-1, 0.4))
TALL = _outline((-0.4, -1), (0.4, -1), (0.4, 1), (-0.4, 1))
UP = _outline((-1, -0.9), (0, 1), (1, -0.9), (0, -0.2))
DOWN = _outline((-1, 0.9), (0, -1), (1, 0.9), (0, 0.2))
TEE = _outline((-1, 1), (1, 1), (1, 0.4), (0.35, 0.4), (0.35, -1), (-0.35, -1), (-0.35, 0.4), (-1, 0.4))
ELL = _outline((-1, 1), (-0.3, 1), (-0.3, -0.3), (1, -0.3), (1, -1), (-1, -1))
RAMP = _outline((-1, -1), (1, -1), (1, 1))
LABEL = 7.5
"""Size of a label within a panel, in points."""


@dataclass(frozen=True)
class Look:
    """Of a name: colour and marker; `turn` chooses its dashes, where there are more names than markers."""

    colour: str
    marker: Marker
    turn: int = 0


KNOWN: Mapping[str, Look] = MappingProxyType(
    {
        "dense": Look(BLACK, "s"), "small-dense": Look(GREY, "h"), "small-dense-bits": Look(GREY, "D"),
        "static": Look(GREY, "X"), "set": Look(RED, "v"), "rigl": Look(BLUE, "o"),
        "snfs": Look(GREEN, "^"), "snfs-redistributed": Look(GREEN, ">"),
        "snip": Look(PURPLE, "d"), "snip-global": Look(PURPLE, "P"),
        "pruning": Look(ORANGE, "p"), "pruning-global": Look(ORANGE, (4, 1, 0)),
        "lottery": Look(SKY, "*"), "lottery-global": Look(SKY, "<"),
        "rigl-2-4": Look(BLUE, TALL), "rigl-itop": Look(BLUE, (6, 1, 0)), "set-itop": Look(RED, HOURGLASS),
        "srigl": Look(SKY, WIDE), "srigl-unablated": Look(SKY, BOW),
        "granet": Look(GREEN, UP), "granet-global": Look(GREEN, DOWN),
        "acdc": Look(PURPLE, (5, 0, 180)), "acdc-global": Look(PURPLE, (4, 1, 45)),
    }
)  # fmt: skip
"""The same in every picture. No two share a marker, and black is dense alone."""
FURTHER: tuple[Marker, ...] = (TEE, ELL, RAMP, (5, 1, 180))
"""Markers of no method of ours."""
COLOURS = (RED, GREEN, BLUE, PURPLE, ORANGE, SKY)
DASHES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "torch": ("-", (0, (7, 1.5, 1, 1.5)), (0, (7, 1.5, 1, 1.5, 1, 1.5))),
        "jax": ((0, (4, 2)), (0, (3, 2, 1, 2)), (0, (3, 2, 1, 2, 1, 2))),
    }
)
"""Of each backend, by the turn of a look."""
OTHER_DASH: Any = (0, (1, 1.5))


def looks(methods: Mapping[str, str]) -> dict[str, Look]:
    """The look of each name of a picture, given the method that it is of.

    The first name of a method looks as the method does everywhere. No two have both marker and turn in common, so
    that they can be told apart without colours; past some fifty names looks recur.
    """
    firsts: dict[str, str] = {}
    for name, method in methods.items():
        firsts.setdefault(method, name)
    own = {name: KNOWN[method] for method, name in firsts.items() if method in KNOWN}
    spare = _spare({look.marker for look in own.values()})
    return {name: own[name] if name in own else next(spare) for name in methods}


def _spare(taken: set[Marker]) -> Iterator[Look]:
    """Looks that no method has: with markers that are not taken, then with other dashes."""
    markers = (*FURTHER, *(look.marker for look in KNOWN.values()))
    free = [(0, marker) for marker in markers if marker not in taken]
    colours = cycle(COLOURS)
    for turn, marker in cycle(chain(free, product((1, 2), markers))):
        yield next(look for colour in colours if (look := Look(colour, marker, turn)) not in KNOWN.values())


def dash(backend: str, look: Look | None = None) -> Any:
    """Of a backend's lines, for a name that looks so."""
    return DASHES[backend][look.turn if look else 0] if backend in DASHES else OTHER_DASH


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
        line.x, line.mean, color=look.colour, linestyle=dash(backend, look), linewidth=1.3, marker=look.marker,
        markersize=4, markevery=(first, stride), markerfacecolor=face(look, backend),
    )  # fmt: skip
    if line.low:
        axes.fill_between(line.x, line.low, line.high, color=look.colour, alpha=0.13, linewidth=0)


def handle(label: str, **look: Any) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=plain(label), **look)


def methods(found: Mapping[str, Look], line: bool = False) -> list[Any]:
    """Entries of a legend for methods; with a line where it says more than the marker, or everywhere."""
    return [
        handle(name, color=look.colour, marker=look.marker, markersize=6,
               linestyle=dash("torch", look) if line or look.turn else "")
        for name, look in found.items()
    ]  # fmt: skip


def backends(names: Iterable[str], lines: bool = False) -> list[Any]:
    """Entries of a legend for backends, of markers and, where there are `lines`, of dashes."""
    quiet = Look(QUIET, "o")
    return [
        handle(name, color=QUIET, marker="o", markerfacecolor=face(quiet, name), markersize=6,
               linestyle=dash(name) if lines else "")
        for name in sorted(set(names))
    ]  # fmt: skip
