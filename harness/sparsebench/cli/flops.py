"""`sparsebench flops MODEL`: what a method costs by its published formula, without training anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from sparsebench import plugins, pricing
from sparsebench.asked import levels
from sparsebench.cli.costs import show
from sparsebench.cli.network import Format, Name, Network, Sharing, check_share, network, table
from sparsebench.cli.output import say
from sparsebench.cli.timing import Schedule, timing
from sparsebench.conventions import known
from sparsebench.errors import UserError
from sparsebench.fitting import check_sparsity
from sparsebench.formulas import FORMULAS, IN_ROUNDS, Step, rounds
from sparsebench.pricing import SMALL_DENSE, Priced, Terms, price


@dataclass(frozen=True)
class Accounting:
    """What is counted, and how."""

    method: Annotated[str, Parameter(help=f"one of {', '.join(FORMULAS)}")] = "dense"
    multiplier: Annotated[float, Parameter(help="training length × this")] = 1.0
    remove: Annotated[float, Parameter(help="lottery: share of the remaining connections that a round removes")] = 0.2
    convention: Annotated[Literal["plain", "rigl-paper"], Parameter(help="how a layer's FLOPs are counted")] = "plain"
    input_gradient: Annotated[
        bool | None, Parameter(help="count the gradient with respect to the network's input; else as the model says")
    ] = None
    width: Annotated[
        float | None, Parameter(help="channels × this, at the densities of width 1; small-dense: else as --match says")
    ] = None
    match: Annotated[
        Literal["parameters", "bits"] | None,
        Parameter(help="small-dense: what it has as much of as the sparse network (bits: those of the mask too)"),
    ] = None


MOST = 1_000_000
"""How much longer or wider than published a network can be asked for."""
GROUPS = (Group("Account", sort_key=1), Group("Sparsity", sort_key=2), Group("Schedule", sort_key=3))
ACCOUNTING, SHARING, SCHEDULE = Accounting(), Sharing(), Schedule()


def flops(
    model: Name,
    /,
    *,
    accounting: Annotated[Accounting, Parameter(name="*", group=GROUPS[0])] = ACCOUNTING,
    sparsity: Annotated[
        float | None, Parameter(group=GROUPS[1], help="share of prunable weights that are inactive, in [0, 1)")
    ] = None,
    sharing: Annotated[Sharing, Parameter(name="*", group=GROUPS[1])] = SHARING,
    schedule: Annotated[Schedule, Parameter(name="*", group=GROUPS[2])] = SCHEDULE,
    format: Format = "table",
) -> None:
    """Print dense FLOPs, what the method takes of them, and what every layer costs."""
    _check(accounting)
    method, asked = plugins.load("methods", accounting.method), _sparsity(accounting.method, sparsity)
    check_sparsity(method, asked)
    found = network(model, asked, sharing, method.densest)
    first = network(model, method.first(asked), sharing).sparsities if method.initial_sparsity else None
    terms = replace(_terms(accounting, schedule, found), rounds=_rounds(accounting, found, model, sharing))
    priced = price(found.layers, found.sparsities, terms, first)
    document = {
        **found.described(),
        **pricing.document(priced),
        "reference": _reference(found, priced),
        "total": _total(priced, schedule),
    }
    if format == "json":
        say(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(document)


def _check(accounting: Accounting) -> None:
    if accounting.method not in FORMULAS:
        plugins.load("methods", accounting.method)
        raise UserError(
            f"method {accounting.method!r} has no published formula here; `sparsebench run --dry-run` says what runs "
            f"execute, and formulas are known for {', '.join(FORMULAS)}"
        )
    for name, value in (("multiplier", accounting.multiplier), ("width", accounting.width)):
        if value is not None and not (0 < value <= MOST):
            raise UserError(f"--{name} {value:g}: should be above 0, and at most {MOST:,}")
    if not 0 < accounting.remove < 1:
        raise UserError(f"--remove {accounting.remove:g}: should be above 0 and below 1, a share of connections")
    if accounting.match and (accounting.method != SMALL_DENSE or accounting.width):
        raise UserError(
            f"--match finds the width of method {SMALL_DENSE!r}, where --width does not give it: leave it out"
        )


def _sparsity(method: str, sparsity: float | None) -> float:
    """A dense network has none, whatever was asked for."""
    if method == "dense":
        return 0.0
    if sparsity is None:
        raise UserError(f"--sparsity: missing, method {method!r} needs one, in [0, 1)")
    check_share(sparsity)
    return sparsity


def _rounds(accounting: Accounting, found: Network, model: str, sharing: Sharing) -> tuple[Step, ...]:
    """The rounds before the last of a search for lottery tickets, the dense one first, each at a plan of its own."""
    if accounting.method not in IN_ROUNDS:
        return ()
    *before, _ = (0.0, *levels(accounting.remove, found.sparsity))
    return rounds([network(model, sparsity, sharing).sparsities if sparsity else _dense(found) for sparsity in before])


def _dense(found: Network) -> dict[str, float]:
    return {layer.name: 0.0 for layer in found.layers}


def _terms(accounting: Accounting, schedule: Schedule, found: Network) -> Terms:
    declared, asked = found.model.input_gradient, accounting.input_gradient
    return Terms(
        method=accounting.method,
        convention=accounting.convention,
        input_gradient=declared if asked is None else asked,
        multiplier=accounting.multiplier,
        width=accounting.width,
        storage=accounting.match or "parameters",
        timing=timing(schedule, accounting.method),
    )


def _reference(found: Network, priced: Priced) -> dict[str, Any] | None:
    """Costs relative to the dense network that this one is a wider form of."""
    if not found.model.reference:
        return None
    layers, model = table(found.model.reference)
    dense = price(layers, {layer.name: 0.0 for layer in layers}, replace(priced.terms, method="dense", width=1.0)).dense
    return {
        "model": model.name,
        "inference_ratio": known(priced.account.inference / dense.inference),
        "training_ratio": known(priced.terms.multiplier * priced.account.training / dense.training),
    }


def _total(priced: Priced, schedule: Schedule) -> dict[str, Any] | None:
    """FLOPs of the whole training, of the method at its multiplier and of dense training at 1x."""
    samples = schedule.samples()
    if samples is None:
        return None
    return {
        "batch": schedule.batch,
        "steps": schedule.steps,
        "training_flops": known(priced.terms.multiplier * samples * priced.account.training),
        "dense_training_flops": known(samples * priced.dense.training),
    }
