"""Sparsity layer by layer: what uniform and ERK plan for a network, and what runs ended with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench import plugins, policy
from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.layers import Layer, Role
from sparsebench.models import Model
from sparsebench.records import Record
from sparsebench_board.labels import plain
from sparsebench_board.pictures import style
from sparsebench_board.pictures.groups import Group, Member, groups, reached
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.pictures.sheet import Margins, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Sparsities = tuple[float, ...]
PLANS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"color": style.GREY, "linestyle": "--", "linewidth": 1.6},
    "erk": {"color": style.BLACK, "linestyle": "-", "linewidth": 1.2},
}
AS_ONE = style.Look(style.BLUE, "o")
"""Of methods that ended alike."""
NAMES = {"uniform": "uniform", "erk": "ERK"}
HEIGHT, LOW, LETTER = 2.2, 1.5, 0.054
"""Inches of a panel, of one with few layers, and of a letter of names below it."""
FEW = 8
"""Layers, at most, of panels that are low and may stand two in a row."""
NAMED, LETTERS = 60, 90
"""Layers, at most, whose names are written below their places; letters of all, at most, that are written across."""
PLANNED = "planned: with the policy for stem, depthwise layers and classifier that the model declares or the runs had"
ENDED = "ended: mean over seeds; marks of one layer are drawn side by side"


@dataclass(frozen=True)
class End:
    """Where some cells ended: the sparsity of each layer. `methods` and `backends` are theirs."""

    who: str
    methods: frozenset[str]
    backends: frozenset[str]
    sparsities: Sparsities

    @property
    def look(self) -> style.Look:
        """A method's own, where it is alone."""
        return style.KNOWN.get(next(iter(self.methods)), AS_ONE) if len(self.methods) == 1 else AS_ONE

    @property
    def face(self) -> str:
        """Hollow where it is jax alone."""
        return style.face(self.look, next(iter(self.backends)) if len(self.backends) == 1 else "")


@dataclass(frozen=True)
class Panel:
    """A network at one sparsity: `plans` are what each distribution plans, by name."""

    title: str
    layers: tuple[str, ...]
    plans: Mapping[str, Sparsities]
    ends: tuple[End, ...] = ()


# ---- what is drawn --------------------------------------------------------------------------------------------


def planned(
    layers: Sequence[Layer], model: Model | None, sparsity: float, own: Mapping[str, Any]
) -> dict[str, Sparsities]:
    """Each of `PLANS`, with what the model declares for special layers, and `own` choices before that."""
    plans: dict[str, Sparsities] = {}
    for name in PLANS:
        usual = model.policy_under(name) if model else policy.STANDARD[name]
        chosen = policy.Policy(**{**usual.choices(), **own})
        found = policy.plan(layers, name, sparsity, chosen)
        plans[name] = tuple(found[layer.name] for layer in layers)
    return plans


def of_model(name: str, sparsity: float) -> Panel:
    """The plans for a model at the input that it was published for.

    Raises:
        UserError: there is no such model, it does not say what input that is, or the sparsity is impossible.
    """
    if not 0 < sparsity < 1:
        raise UserError(f"--sparsity {sparsity:g}: should be between 0 and 1, the share of inactive weights")
    model = plugins.load("models", name)
    if model.input is None:
        raise UserError(f"model {name!r} does not say what input it is counted at: its specification needs `input`")
    layers = tuple(layer for layer in model.layers(model.input) if layer.kind != "other")
    plans = planned(layers, model, sparsity, {})
    return Panel(plain(f"{model.name}, sparsity {digits(sparsity)}"), tuple(layer.name for layer in layers), plans)


def of_group(group: Group, sparsity: float) -> Panel | None:
    """The plans for what the runs of a group have trained at a sparsity, and where they ended.

    Cells that ended with the same counts are one line. Narrower dense networks have other layers and are left out;
    None where nothing is left.
    """
    members = [member for member in group.at(sparsity) if _masked(member)]
    if not members:
        return None
    record = members[0].cell.reached[0]
    layers, model = table(record)
    plans = planned(layers, model, sparsity, record.config.policy.model_dump(exclude_none=True))
    title = plain(f"{group.title}, sparsity {digits(sparsity)}")
    return Panel(title, tuple(layer.name for layer in layers), plans, tuple(ends(members)))


def ends(members: Sequence[Member]) -> list[End]:
    """Where each of some cells ended, those that ended alike together, by their names."""
    found: defaultdict[Sparsities, list[Member]] = defaultdict(list)
    for member in members:
        found[ended(member)].append(member)
    split = {name for name in {m.name for m in members} if sum(name in {m.name for m in f} for f in found.values()) > 1}
    return sorted((_end(alike, split, end) for end, alike in found.items()), key=lambda end: end.who)


def _end(alike: Sequence[Member], split: set[str], end: Sparsities) -> End:
    names = {f"{each.name} {each.row.backend}" if each.name in split else each.name for each in alike}
    methods, backends = (frozenset(getattr(m.row, what) for m in alike) for what in ("method", "backend"))
    return End(", ".join(sorted(names)), methods, backends, end)


def _masked(member: Member) -> bool:
    return any(layer["active"] < layer["size"] for layer in member.cell.reached[0].layers)


def ended(member: Member) -> Sparsities:
    """Sparsity of each layer at the end, the mean over seeds, to four decimals."""
    found = [[1 - layer["density"] for layer in record.layers] for record in member.cell.reached]
    return tuple(round(float(each), 4) for each in np.mean(found, axis=0))


def table(record: Record) -> tuple[tuple[Layer, ...], Model | None]:
    """The layers of a record with the roles that its model gives them, where that is installed."""
    roles: dict[str, Role] = {}
    try:
        model = plugins.load("models", record.config.model)
        roles = {layer.name: layer.role for layer in model.layers(model.input)} if model.input else {}
    except UserError:
        model = None
    layers = tuple(
        Layer(each["name"], tuple(each["shape"]), each["kind"], each["macs"], roles.get(each["name"], "body"))
        for each in record.layers
    )
    return layers, model


# ---- how it is drawn ------------------------------------------------------------------------------------------


def figure(records: Sequence[Record]) -> Figure:
    """A panel for each model, data set, recipe and sparsity.

    Raises:
        UserError: no run has a mask.
    """
    found = [of_group(group, sparsity) for group in reached(groups(records)) for sparsity in group.sparsities]
    panels = [panel for panel in found if panel]
    if not panels:
        raise UserError("no run has a mask: there are no layers to show the sparsity of")
    return drawn(panels)


def drawn(panels: Sequence[Panel]) -> Figure:
    """A figure of these panels."""
    columns = 2 if len(panels) > 1 and all(len(panel.layers) <= FEW for panel in panels) else 1
    rows = [panels[k : k + columns] for k in range(0, len(panels), columns)]
    heights = [max(HEIGHT if len(panel.layers) > FEW else LOW for panel in row) for row in rows]
    margins = [Margins(bottom=0.35 + max(map(_foot, row))) for row in rows]
    picture = sheet(len(panels), heights, columns, margins)
    for axes, panel in zip(picture.panels, panels, strict=True):
        _panel(axes, panel)
    entries = [style.handle(f"{NAMES[name]}, as planned", **look) for name, look in PLANS.items()]
    ended = {end.who: end for each in panels for end in each.ends}
    entries += [
        style.handle(shorten(f"ended: {who}", 64, placeholder=" …"), color=end.look.colour, marker=end.look.marker,
                     markerfacecolor=end.face, linestyle="")
        for who, end in sorted(ended.items())
    ]  # fmt: skip
    return picture.finish(entries, [PLANNED, ENDED] if ended else [PLANNED], beside=0)


def _foot(panel: Panel) -> float:
    """Inches that names take below a panel where they have to be written upright."""
    upright = len(panel.layers) <= NAMED and sum(map(len, panel.layers)) > LETTERS
    return LETTER * max(map(len, panel.layers)) if upright else 0.0


def _panel(axes: Axes, panel: Panel) -> None:
    places = np.arange(len(panel.layers))
    for name, plan in panel.plans.items():
        axes.stairs(100 * np.array(plan), np.arange(len(plan) + 1) - 0.5, baseline=None, **PLANS[name])
    for k, end in enumerate(panel.ends):
        aside = (k - (len(panel.ends) - 1) / 2) * 0.6 / len(panel.ends)
        axes.plot(
            places + aside, 100 * np.array(end.sparsities), color=end.look.colour, marker=end.look.marker,
            markersize=5, linestyle="", markerfacecolor=end.face,
        )  # fmt: skip
    axes.set_title(panel.title)
    axes.set_ylabel("sparsity, %")
    axes.set_ylim(-4, 104)
    axes.set_xlim(-0.7, len(places) - 0.3)
    axes.grid(visible=False, axis="x")
    if len(places) <= NAMED:
        names = [plain(name) for name in panel.layers]
        axes.set_xticks(places, names, rotation=90 if _foot(panel) else 0, fontsize=min(8, 400 / len(places)))
    else:
        axes.set_xlabel("layer, in forward order")


KIND = Kind(
    "layers", "Sparsity layer by layer",
    "A panel for each model, data set, recipe and sparsity: the sparsity of each layer, in forward order, as a uniform "
    "and as an ERK distribution plan it, and as runs ended with.",
    figure,
)  # fmt: skip


def svg(model: str, sparsity: float) -> str:
    """The picture of a model's plans, as `Kind.svg` gives it.

    Raises:
        UserError: as `of_model` does, or matplotlib is not installed.
    """
    return replace(KIND, figure=lambda _: drawn([of_model(model, sparsity)])).svg(())
