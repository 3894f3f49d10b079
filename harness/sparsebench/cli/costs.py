"""A method's published cost, as people read it."""

from __future__ import annotations

from typing import Any

from sparsebench.cli.output import say
from sparsebench.cli.tables import COUNT, SHARE, TEXT, Column, flops, per_mille, shape
from sparsebench.cli.tables import show as show_table
from sparsebench.conventions import told

Document = dict[str, Any]


def show(document: Document) -> None:
    """What was asked, the ratios, and the tables behind them."""
    for line in _summary(document):
        say(line)
    cost, unit = per_mille(told(document["dense_inference_flops"]))
    _show_steps(document, cost, unit)
    _show_layers(document, cost, unit)


def _summary(document: Document) -> list[str]:
    lines = [
        _title(document),
        f"  inference      {_flops(document['inference_flops'])}, {_ratio(document['inference_ratio'])} of dense "
        f"({_flops(document['dense_inference_flops'])})",
        f"  training       {_flops(document['training_flops_per_sample'])} a sample, "
        f"{_ratio(document['training_ratio'])} of dense ({_flops(document['dense_training_flops_per_sample'])}) at 1x",
    ]
    if reference := document["reference"]:
        lines.append(
            f"  {reference['model']:<14} inference {_ratio(reference['inference_ratio'])} of it dense, "
            f"training {_ratio(reference['training_ratio'])}"
        )
    if total := document["total"]:
        lines.append(
            f"  in all         {_flops(total['training_flops'])}, dense {_flops(total['dense_training_flops'])}, "
            f"{total['steps']:,} steps of {total['batch']:,} samples at 1x"
        )
    if document["unknown"]:
        lines.append(f"  unknown        there is no rule for {', '.join(document['unknown'])}")
    return [*lines, _counted(document)]


def _title(document: Document) -> str:
    parts = [document["method"]]
    if document["multiplier"] != 1:
        parts.append(f"{document['multiplier']:g}x")
    if document["method"] != "dense":
        parts.append(f"{document['sparsity']:g} {document['distribution']}")
    width = "" if document["width"] == 1 else f", {document['width']:g} times as wide"
    return f"{' '.join(parts)} on {document['model']}{width}"


def _counted(document: Document) -> str:
    gradient = "counted" if document["input_gradient"] else "not counted"
    return f"  convention     {document['convention']}; gradient with respect to the network's input {gradient}"


def _show_steps(document: Document, cost: Column, unit: str) -> None:
    kinds = [(kind, cost) for kind in ("forward", "activation gradient", "weight gradient")]
    rows = [[step["kind"], step["share"], *_kinds(step)] for step in document["steps"]]
    show_table([(f"step, {unit}", TEXT), ("share", SHARE), *kinds], rows)


def _show_layers(document: Document, cost: Column, unit: str) -> None:
    counts = [(heading, COUNT) for heading in ("active", "size", "MACs")]
    costs = [(f"{heading} {unit}", cost) for heading in ("inference", "training")]
    layers = document["layers"]
    active, size, macs = (sum(row[key] for row in layers) for key in ("active", "size", "macs"))
    total = [told(document[key]) for key in ("inference_flops", "training_flops_per_sample")]
    show_table(
        [("layer", TEXT), ("shape", TEXT), ("density", SHARE), *counts, *costs],
        [_layer(row) for row in layers],
        ["total", "", active / size, active, size, macs, *total],
    )


def _layer(row: Document) -> list[Any]:
    counts = (row[key] for key in ("density", "active", "size", "macs"))
    return [row["name"], shape(row["shape"]), *counts, told(row["inference_flops"]), sum(_kinds(row))]


def _kinds(row: Document) -> list[float]:
    return [told(row[kind]) for kind in ("forward", "activation_gradient", "weight_gradient")]


def _flops(count: float | None) -> str:
    return flops(told(count))


def _ratio(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.5f}"
