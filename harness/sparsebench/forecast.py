"""What a run will execute, before it starts: its own timetable and ledger, replayed with the counts of its plan.

Where counts follow from the plan, costs equal those of the record to the last digit. A method that moves counts between
layers is replayed at its plan's distribution: its total of connections is right, and its FLOPs are an estimate that
errs by no more than moving all of them to the dearest or the cheapest layers would change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sparsebench.layers import Layer
from sparsebench.ledger import Ledger
from sparsebench.masks import budget, planned
from sparsebench.method import Method, each_layer
from sparsebench.prepare import Prepared
from sparsebench.records import Record
from sparsebench.results import costs
from sparsebench.runner import legs
from sparsebench.tickets import holding

Counts = Mapping[str, int]

COSTS = (
    "training_flops", "source_training_flops", "dense_training_flops", "training_ratio",
    "inference_flops", "dense_inference_flops", "inference_ratio",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Forecast:
    """A run as it is expected to be.

    `costs` are the record's (`results.costs`) by the names of `COSTS`, None where a layer's is unknown; they are
    `exact`, or an estimate. `active` are the counts that it ends with, right in sum, layer by layer only if `settled`.
    `steps` are the optimizer steps, which updates that replace one are not among. `rewind` is the step whose weights
    tickets of it are rewound to.
    """

    costs: Mapping[str, float | None]
    exact: bool
    active: Counts
    settled: bool
    steps: int
    updates: int
    evaluations: int
    rewind: int

    @property
    def executed(self) -> float | None:
        """Training FLOPs of this run itself, its ticket's search left out."""
        training, source = self.costs["training_flops"], self.costs["source_training_flops"]
        return None if training is None or source is None else training - source

    def as_recorded(self, record: Record) -> Forecast:
        """The same run, now that it is known what it came to."""
        found = {row["name"]: int(row["active"]) for row in record.layers}
        told = {name: None if self.costs[name] is None else record.result[name] for name in COSTS}
        return replace(self, costs=told, active=found, settled=True, exact=True)


@dataclass(frozen=True, eq=False)
class _Start:
    """A run's first counts, the sparsities that its budgets are made with, and its first iteration."""

    active: Counts
    sparsities: Mapping[str, float]
    settled: bool
    iteration: int = 0


def forecast(prepared: Prepared, source: Forecast | None = None) -> Forecast:
    """Replay a run; `source` is the one that its ticket comes from."""
    method, layers = prepared.method, prepared.task.prunable
    first = _start(prepared, source)
    account, now = Ledger(prepared.task.layers, prepared.task.recipe.batch_size), first.active
    enter = account.observed_steps if method.observe else account.steps
    timetable = list(legs(prepared, first.iteration))
    for leg in timetable:
        enter(leg.stop - leg.start, now)
        if leg.event:
            account.update(method, now)
            counts = budget(method, layers, first.sparsities, now, leg.event, prepared.first)
            now = {name: each.active for name, each in counts.items()}
    updates = sum(leg.event is not None for leg in timetable)
    settled = first.settled and not (updates and method.moves_counts)
    return Forecast(
        costs=_costs(prepared, account, now, source),
        exact=settled and (source is None or source.exact),
        active=now,
        settled=settled,
        steps=sum(leg.stop - leg.start for leg in timetable),
        updates=updates,
        evaluations=sum(leg.evaluated for leg in timetable),
        rewind=source.rewind if source else prepared.config.rewind,
    )


def _start(prepared: Prepared, source: Forecast | None) -> _Start:
    """As `tickets` has it: a ticket that is as dense as the plan is taken as it is, a denser one pruned to the plan."""
    layers, method, ticket = prepared.task.prunable, prepared.method, prepared.config.ticket
    if ticket is None or source is None:
        return _Start(_planned(method, layers, prepared.first), prepared.sparsities, settled=True)
    wanted = _planned(method, layers, prepared.sparsities)
    as_it_is = sum(source.active.values()) == sum(wanted.values())
    counts = source.active if as_it_is else wanted
    settled = source.settled if as_it_is else method.rank is each_layer
    sparsities = {layer.name: holding(layer.size, counts[layer.name]) for layer in layers}
    return _Start(counts, sparsities, settled, source.rewind if ticket.weights == "rewound" else 0)


def _planned(method: Method, layers: Sequence[Layer], sparsities: Mapping[str, float]) -> Counts:
    return {layer.name: planned(method, layer, sparsities[layer.name]) for layer in layers}


def _costs(prepared: Prepared, account: Ledger, now: Counts, source: Forecast | None) -> dict[str, float | None]:
    before = source.costs["training_flops"] if source else 0
    if before is None or any(layer.kind == "other" for layer in prepared.task.layers):
        return dict.fromkeys(COSTS)
    found: Mapping[str, Any] = costs(prepared, account, now, int(before))
    return {name: found[name] for name in COSTS}


# ---- time -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """What a kind of run takes on this machine, in seconds.

    `step` is one of `samples` samples, `observed` one whose gradients the method observes, if any does. `updates` are
    mask updates by method, with a gradient of as many samples where it takes one; `evaluation` is a batch of the test
    set. `rest` is what a run takes beside those, its record included; `setup` what a worker takes once for runs of this
    kind, to compile.
    """

    samples: int
    step: float
    observed: float | None
    updates: Mapping[str, float]
    evaluation: float
    rest: float
    setup: float


def seconds(prepared: Prepared, expected: Forecast, measured: Calibration) -> float:
    """What a run takes in a worker that is set up; linear in steps, updates and evaluations.

    A step of more samples than were measured takes as much more time as it has more of them.
    """
    task, method = prepared.task, prepared.method
    share = task.recipe.batch_size / measured.samples
    step = share * ((measured.observed if method.observe else None) or measured.step)
    update = measured.updates.get(method.name, 0.0) + (share - 1) * measured.step * method.needs_gradient
    batches = math.ceil(len(task.dataset.test.labels) / task.evaluation_batch)
    evaluation = batches * measured.evaluation
    return measured.rest + expected.steps * step + expected.updates * update + expected.evaluations * evaluation
