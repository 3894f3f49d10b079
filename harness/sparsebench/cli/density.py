"""`sparsebench density MODEL`: how many connections each layer keeps."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

from sparsebench.cli.network import Format, Name, Network, Sharing, network
from sparsebench.cli.output import say
from sparsebench.cli.tables import COUNT, SHARE, TEXT, shape, show
from sparsebench.distributions import RATIOS, Solution, solve
from sparsebench.pricing import planned

DEFAULT = Sharing()


def density(
    model: Name,
    /,
    *,
    sparsity: Annotated[float, Parameter(help="share of prunable weights that are inactive, in [0, 1)")],
    sharing: Annotated[Sharing, Parameter(name="*")] = DEFAULT,
    format: Format = "table",
) -> None:
    """Print density, active and all entries of every layer."""
    document = _document(network(model, sparsity, sharing))
    if format == "json":
        say(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        _show(document)


def _document(found: Network) -> dict[str, Any]:
    solution = _solution(found)
    rows = [
        planned(layer, found.sparsities[layer.name]) | {"saturated": layer.name in solution.saturated}
        for layer in found.layers
    ]
    size, alive = sum(row["size"] for row in rows), sum(row["active"] for row in rows)
    return {
        **found.described(),
        "epsilon": solution.epsilon,
        "saturated": [row["name"] for row in rows if row["saturated"]],
        "totals": {"size": size, "active": alive, "density": alive / size, "sparsity": 1 - alive / size},
        "layers": rows,
    }


def _solution(found: Network) -> Solution:
    if found.distribution not in RATIOS:
        return Solution(None, frozenset())
    return solve(found.layers, found.sparsity, RATIOS[found.distribution], found.apart)


def _show(document: dict[str, Any]) -> None:
    totals = document["totals"]
    say(f"{document['model']} at sparsity {document['sparsity']:g}, {document['distribution']}")
    show(
        [("layer", TEXT), ("shape", TEXT), ("density", SHARE), ("active", COUNT), ("size", COUNT), ("", TEXT)],
        [[row["name"], shape(row["shape"]), row["density"], row["active"], row["size"], _note(document, row)]
         for row in document["layers"]],
        ["total", "", totals["density"], totals["active"], totals["size"], ""],
    )  # fmt: skip
    if document["epsilon"] is not None:
        say(f"density of a layer = ε · r, at most 1; ε = {document['epsilon']:.8f}")


def _note(document: dict[str, Any], row: dict[str, Any]) -> str:
    if row["saturated"]:
        return "saturated"
    if row["name"] in document["own"]:
        return "outside the budget"
    return ""
