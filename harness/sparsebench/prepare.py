"""From settings to a run that can start: names looked up, data loaded, numbers resolved, mistakes refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from sparsebench import fitting, handover, identity, mistakes, plugins, policy, states
from sparsebench.checkpoints import Checkpoint
from sparsebench.config import RunConfig, Updates
from sparsebench.consistency import Expected
from sparsebench.data.source import Dataset
from sparsebench.errors import UserError
from sparsebench.handover import Handover
from sparsebench.method import Event, Method
from sparsebench.mistakes import refuse, told
from sparsebench.models import Model, declared_builder
from sparsebench.policy import Policy
from sparsebench.sources import Source
from sparsebench.states import Given
from sparsebench.trainer import Backend, Task
from sparsebench.widths import STORAGES, matching


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run ready to start. `identity` is the record's `config.json`; `sparsities` the plan of each layer.

    `first` is the plan of its first masks. `start` are the weights that it is given; without any they are drawn from
    its seed. `handover` is the checkpoint of another backend that it goes on from, if any.
    """

    config: RunConfig
    identity: Mapping[str, Any]
    task: Task
    method: Method
    backend: Backend
    sparsities: Mapping[str, float]
    first: Mapping[str, float]
    start: Given | None = None
    handover: Handover | None = None

    @property
    def before(self) -> Checkpoint | None:
        """The state that another backend left, if this run goes on from one."""
        return self.handover and self.handover.checkpoint

    @property
    def id(self) -> str:
        """The name of the run and of its record's folder."""
        return self.identity["id"]


def prepare(
    config: RunConfig, data: Path | None = None, source: Source | None = None, weights: Path | None = None,
    checkpoint: Path | None = None,
) -> Prepared:  # fmt: skip
    """Resolve one run; data sets are loaded once per process, from the folder `data` if it is given.

    `source` is the run that the ticket of `config` names, `weights` the file of the weights it is to start from,
    `checkpoint` the folder of the one it goes on from.

    Raises:
        UserError: a name is unknown, the backend cannot build the model, a data set is not there or damaged, the
            schedule makes no sense, or the ticket, the weights or the checkpoint do not fit.
    """
    method = plugins.load("methods", config.method)
    model = plugins.load("models", config.model)
    backend = plugins.load("backends", config.backend)
    unbuildable = told(lambda: declared_builder(model, backend))
    if unloadable := told(lambda: load_dataset(config.dataset, data)):
        refuse([*unbuildable, *unloadable])
    dataset = load_dataset(config.dataset, data)
    unfit = [
        line
        for check in (fitting.check_batch, fitting.check_view, fitting.check_size)
        for line in told(lambda check=check: check(config.recipe, dataset))
    ]
    if endless := told(lambda: fitting.check_length(config.recipe, config.multiplier, dataset)):
        refuse([*unbuildable, *unfit, *endless])
    config, method = _resolved(config, method, model, backend, dataset)
    dataset = fitting.sized(dataset, config.recipe)
    steps = config.recipe.steps or 0
    unscheduled = told(lambda: _check_schedule(method, steps)) if steps else []
    unscheduled += told(lambda: fitting.check_rates(config.recipe)) if steps else []
    misused = told(lambda: _check_use(config, method, steps))
    refuse([*unbuildable, *unfit, *unscheduled, *misused])
    task = Task(model, dataset, config.recipe, steps)
    roles = replace(model.policy_under(config.distribution), **config.policy.model_dump(exclude_none=True))
    with plugins.blamed("models", model.name):
        fitting.check_layers(method, task)
    start = states.start(config.weights, weights)
    if start:
        states.check_start(start, task.model, task.input)
    plan = _plan(config, method, task, roles, config.sparsity)
    first = _plan(config, method, task, roles, method.first(config.sparsity))
    if method.narrowed:
        task = replace(task, width=matching(task.prunable, plan, STORAGES[method.narrowed]))
        plan = first = {layer.name: 0.0 for layer in task.prunable}
    if source:
        source.check(config, method, task.prunable, plan)
    document = _document(config, method, model, backend, dataset, source) | {"policy": roles.choices()}
    before = handover.start(config.continued, checkpoint)
    if before:
        expected = Expected(task, method, first, plan, config.rewind, config.ticket is not None)
        before.check(document, backend, plugins.load("backends", before.config.backend), expected)
        document |= {"continued": before.described()}
    return Prepared(config, document, task, method, backend, plan, first, start, before)


def _plan(config: RunConfig, method: Method, task: Task, roles: Policy, sparsity: float) -> dict[str, float]:
    if not sparsity:
        return {layer.name: 0.0 for layer in task.prunable}
    return policy.plan(task.prunable, config.distribution, sparsity, roles, method.densest)


def load_dataset(name: str, data: Path | None) -> Dataset:
    """A data set by name, once per process; so is what is wrong with it, which may take long to find out.

    Raises:
        UserError: it is not there or damaged.
    """
    found = _loaded(name, data)
    if isinstance(found, UserError):
        raise found
    return found


@cache
def _loaded(name: str, data: Path | None) -> Dataset | UserError:
    try:
        source = plugins.load("datasets", name)
        with plugins.blamed("datasets", name):
            found: Any = source.load(data)
    except UserError as error:
        return error
    if isinstance(found, Dataset):
        return found
    given = type(found).__name__
    return UserError(f"{plugins.described('datasets', name)} loads a {given}, not a Dataset; mend the package")


def _document(
    config: RunConfig, method: Method, model: Model, backend: Backend, dataset: Dataset, source: Source | None
) -> dict[str, Any]:
    versions = (method.numerics, model.numerics, backend.numerics)
    document = identity.document(config, dataset.fingerprint, *versions)
    return document | ({"ticket": source.described()} if source else {})


def _resolved(
    config: RunConfig, method: Method, model: Model, backend: Backend, dataset: Dataset
) -> tuple[RunConfig, Method]:
    """Length in steps, the method's clock in numbers, the model by its one name; what has no meaning leaves."""
    given = config.updates.model_dump(exclude_none=True)
    method = replace(method, **given)
    read = set(Updates.model_fields) - method.unread if method.updates else set[str]()
    recipe = fitting.resolved(config.recipe, config.multiplier, dataset, backend)
    updates = _clock(method, read)
    changes: dict[str, Any] = {"model": model.name, "recipe": recipe, "updates": updates}
    if not method.has_sparsity:
        defaults = RunConfig.model_fields
        changes |= {name: defaults[name].default for name in ("sparsity", "distribution")}
    return config.model_copy(update=changes), method


def _clock(method: Method, read: Iterable[str]) -> Updates:
    """What the method itself says of when and how much masks change."""
    try:
        return Updates.model_validate({name: getattr(method, name) for name in read})
    except ValidationError as error:
        told = "; ".join(mistakes.lines(error, Updates, mistakes.dotted))
        raise UserError(f"{plugins.described('methods', method.name)}: {told}; mend the package") from error


def _events(method: Method, steps: int) -> Sequence[Event]:
    with plugins.blamed("methods", method.name):
        events = cast("Sequence[object]", method.events(steps))
    if odd := [event for event in events if not isinstance(event, Event)]:
        raise UserError(
            f"{plugins.described('methods', method.name)} has {odd[0]!r} for an event, not a sparsebench Event: "
            "mend the package"
        )
    return cast("Sequence[Event]", events)


def _check_use(config: RunConfig, method: Method, steps: int) -> None:
    """Refuse tickets, weights, rewinding and redistribution where they can mean nothing."""
    if config.ticket is None and method.from_ticket:
        raise UserError(f"method {method.name!r} starts from another run's mask: give --ticket.source, the run's id")
    if config.ticket is not None and method.initial_sparsity is not None:
        start = f"at sparsity {method.initial_sparsity:g}" if method.initial_sparsity else "dense"
        raise UserError(
            f"method {method.name!r} starts {start}, so it cannot start from a ticket: leave the ticket out"
        )
    fitting.check_sparsity(method, config.sparsity)
    if config.weights and (config.ticket or method.from_ticket):
        raise UserError(f"method {method.name!r} from a ticket starts from the ticket's weights: leave --weights out")
    if config.weights and method.narrowed:
        raise UserError(f"method {method.name!r} trains a narrower network, which no weights fit: leave --weights out")
    if steps and config.rewind >= steps:
        raise UserError(f"rewind {config.rewind} is not a step of a run of {steps}: choose one below that")
    if method.redistribute and config.sparsity == 0:
        raise UserError(
            f"method {method.name!r} redistributes connections over layers, and at sparsity 0 no layer has room: "
            "ask for a sparsity above 0"
        )


def _check_schedule(method: Method, steps: int) -> None:
    if not method.updates:
        return
    clock = method.clock(steps)
    if clock.begin >= clock.end:
        raise UserError(
            f"updates begin at {method.begin} and end at {method.end} of the run, iterations {clock.begin} and "
            f"{clock.end}: begin must be below end"
        )
    events = _events(method, steps)
    if not events:
        raise UserError(
            f"method {method.name!r} never updates in {steps} steps with delta_t {method.delta_t}, begin "
            f"{method.begin} and end {method.end}: lower delta_t, set begin and end further apart, or train longer"
        )
    if events[-1].sparsity_share < 1:
        raise UserError(
            f"method {method.name!r} does not reach its sparsity in {steps} steps: set end below {method.end}"
        )
