"""Sparsity layer by layer: what uniform and ERK plan for a network, and what runs ended with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench import plugins, policy
from sparsebench.config import digits
from sparsebench.errors import UserError
from sparsebench.layers import Layer
from sparsebench.models import Model
from sparsebench.records import Record
from sparsebench_board.labels import plain
from sparsebench_board.pictures import style
from sparsebench_board.pictures.groups import Group, Member, groups
from sparsebench_board.pictures.kind import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Densities = tuple[float, ...]
PLANS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"color": style.GREY, "linestyle": "--", "linewidth": 1.6},
    "erk": {"color": style.BLACK, "linestyle": "-", "linewidth": 1.2},
}
ENDS = (
    style.Look(style.BLUE, "o"), style.Look(style.RED, "v"), style.Look(style.GREEN, "^"),
    style.Look(style.PURPLE, "D"), style.Look(style.ORANGE, "p"), style.Look(style.SKY, "*"),
)  # fmt: skip
NAMED = 60
"""Layers, at most, whose names are written below their places."""


@dataclass(frozen=True)
class Panel:
    """A network at one sparsity: `plans` by distribution, and `ends` by who ended there; sparsities of each layer."""

    title: str
    layers: tuple[str, ...]
    plans: Mapping[str, Densities]
    ends: Mapping[str, Densities]


# ---- what is drawn --------------------------------------------------------------------------------------------


def planned(
    layers: Sequence[Layer], model: Model | None, sparsity: float, own: Mapping[str, Any]
) -> dict[str, Densities]:
    """Each of `PLANS`, with what the model declares for special layers, and `own` choices before that."""
    plans: dict[str, Densities] = {}
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
    return Panel(plain(f"{model.name}, sparsity {digits(sparsity)}"), tuple(layer.name for layer in layers), plans, {})


def of_group(group: Group, sparsity: float) -> Panel | None:
    """The plans for what the runs of a group have trained at a sparsity, and where they ended.

    Cells that ended with the same counts are one line. Narrower dense networks have other layers and are left out;
    None where nothing is left.
    """
    members = [member for member in group.at(sparsity) if _masked(member)]
    if not members:
        return None
    record = members[0].cell.records[0]
    layers, model = table(record)
    plans = planned(layers, model, sparsity, record.config.policy.model_dump(exclude_none=True))
    names = tuple(layer.name for layer in layers)
    ends: defaultdict[Densities, list[str]] = defaultdict(list)
    for member in members:
        if (end := ended(member)) not in ends or member.name not in ends[end]:
            ends[end].append(member.name)
    named = {", ".join(who): end for end, who in ends.items()}
    return Panel(plain(f"{group.title}, sparsity {digits(sparsity)}"), names, plans, named)


def _masked(member: Member) -> bool:
    return any(layer["active"] < layer["size"] for layer in member.cell.records[0].layers)


def ended(member: Member) -> Densities:
    """Sparsity of each layer at the end, the mean over seeds, to four decimals."""
    found = [[1 - layer["density"] for layer in record.layers] for record in member.cell.records]
    return tuple(round(float(each), 4) for each in np.mean(found, axis=0))


def table(record: Record) -> tuple[tuple[Layer, ...], Model | None]:
    """The layers of a record with the roles that its model gives them, where that is installed."""
    try:
        model = plugins.load("models", record.config.model)
        roles = {layer.name: layer.role for layer in model.layers(model.input)} if model.input else {}
    except UserError:
        model, roles = None, {}
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
    found = [of_group(group, sparsity) for group in groups(records) for sparsity in group.sparsities]
    panels = [panel for panel in found if panel]
    if not panels:
        raise UserError("no run has a mask: there are no layers to show the sparsity of")
    return drawn(panels)


def drawn(panels: Sequence[Panel]) -> Figure:
    """A figure of these panels."""
    picture, axes = style.panels(len(panels), 3.2)
    for panel, each in zip(axes, panels, strict=True):
        _panel(panel, each)
    entries = [
        style.handle(f"{name.upper() if name == 'erk' else name}, planned", **look) for name, look in PLANS.items()
    ]
    style.finish(picture, entries, (
        "lines: what a distribution plans, with the policy for stem, depthwise layers and classifier; marks: what runs "
        "ended with, mean over seeds",
    ))  # fmt: skip
    return picture


def _panel(axes: Axes, panel: Panel) -> None:
    places = np.arange(len(panel.layers))
    for name, plan in panel.plans.items():
        axes.step(places, 100 * np.array(plan), where="mid", **PLANS[name])
    for look, (who, end) in zip(ENDS, panel.ends.items(), strict=False):
        axes.plot(
            places, 100 * np.array(end), color=look.colour, marker=look.marker, markersize=5, linestyle="",
            markerfacecolor="none", label=plain(shorten(who, 60, placeholder=" …")),
        )  # fmt: skip
    axes.set_title(panel.title)
    axes.set_ylabel("sparsity, %")
    axes.set_ylim(-3, 103)
    axes.set_xlim(-0.7, len(places) - 0.3)
    if len(places) <= NAMED:
        axes.set_xticks(places, [plain(name) for name in panel.layers], rotation=90, fontsize=min(8, 330 / len(places)))
    else:
        axes.set_xlabel("layer, in forward order")
    if panel.ends:
        axes.legend(title="ended with", title_fontsize=8, loc="best", alignment="left", frameon=True, framealpha=0.85)


KIND = Kind(
    "layers", "Sparsity layer by layer",
    "A panel for each model, data set, recipe and sparsity: the sparsity of each layer, in forward order, as a uniform "
    "and as an ERK distribution plan it, and as runs ended with.",
    figure,
)  # fmt: skip
