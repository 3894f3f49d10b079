"""What the documents of a record are made of: readers rely on it, so it is checked once, when they are read.

What is there must be of its kind; what is missing is for those to tell who need it, since older records have less, and
what is not known here passes. A number that nobody knows is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Required, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from sparsebench.mistakes import dotted

NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
"""Of a run, and of its record's folder."""
_STRICT = ConfigDict(strict=True, extra="allow")

Count = Annotated[int, Field(ge=0, lt=2**63)]
Cost = Annotated[float, Field(ge=0)]
Known = Cost | None
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Texts = Mapping[str, str]


@with_config(_STRICT)
class TicketSource(TypedDict, total=False):
    """The cell that a run's ticket comes from, and what that is in a few words."""

    cell: Required[str]


@with_config(_STRICT)
class Identity(TypedDict, total=False):
    """`config.json`; its settings are checked as a run's."""

    schema: Required[int]
    id: Required[Annotated[str, Field(pattern=f"^{NAME}$", max_length=255)]]
    config: Required[dict[str, Any]]
    data: str
    numerics: Mapping[str, int]
    ticket: TicketSource
    policy: Texts


@with_config(_STRICT)
class Environment(TypedDict, total=False):
    """`environment.json`."""

    sparsebench: str
    commit: str | None
    python: str
    platform: str
    cpu: str
    threads: Count
    device: str
    packages: Texts
    started: str
    weights: str
    resumed: list[Count]


@with_config(_STRICT)
class Result(TypedDict, total=False):
    """`result.json`."""

    status: str
    accuracy: float | None
    loss: float | None
    steps: Count
    steps_per_second: Known
    seconds: Mapping[str, Cost]
    training_flops: Known
    source_training_flops: Known
    dense_training_flops: Known
    training_ratio: Known
    inference_flops: Known
    dense_inference_flops: Known
    inference_ratio: Known
    executed: Mapping[str, Known]
    executed_by_layer: Mapping[str, Mapping[str, Known]]
    uncounted: list[str]
    parameters: Count
    active_parameters: Count
    bytes: Count
    explored: Known
    framework_count: dict[str, Any] | None
    finished: str


@with_config(_STRICT)
class LayerRow(TypedDict, total=False):
    """A row of `layers.json`."""

    name: Required[str]
    kind: str
    shape: Required[list[Count]]
    size: Required[Count]
    active: Required[Count]
    density: Required[Cost]
    macs: Count


@with_config(_STRICT)
class NetworkInput(TypedDict, total=False):
    """What the network was built for."""

    shape: Required[Annotated[list[Count], Field(min_length=3, max_length=3)]]
    classes: Required[Count]
    width: Required[Cost]


@with_config(_STRICT)
class Layers(TypedDict, total=False):
    """`layers.json`."""

    layers: Required[list[LayerRow]]
    input: NetworkInput


@with_config(_STRICT)
class LayerChange(TypedDict, total=False):
    """What one update did to one layer."""

    active: Required[Count]
    grown: Required[Count]
    dropped: Required[Count]


@with_config(_STRICT)
class Trained(TypedDict, total=False):
    """A line of `events.jsonl`: a segment."""

    start: Required[Count]
    stop: Required[Count]
    loss: Required[float | None]


@with_config(_STRICT)
class Updated(TypedDict, total=False):
    """A mask update."""

    iteration: Required[Count]
    layers: Required[Mapping[str, LayerChange]]


@with_config(_STRICT)
class Evaluated(TypedDict, total=False):
    """An evaluation."""

    iteration: Required[Count]
    accuracy: Required[float | None]
    loss: Required[float | None]


@with_config(_STRICT)
class Happened(TypedDict, total=False):
    """An event of any kind."""

    kind: Required[str]


@with_config(_STRICT)
class Timed(TypedDict, total=False):
    """An event that a run goes on from."""

    seconds: Required[Duration]


@with_config(_STRICT)
class Continued(TypedDict, total=False):
    """The run that a run goes on from."""

    run: Required[str]
    cell: Required[str]
    backend: Required[str]
    done: Required[Count]
    numerics: Required[int]


@with_config(_STRICT)
class Passed(TypedDict, total=False):
    """`progress.json` of a checkpoint; its identity is held against the run's."""

    identity: Required[dict[str, Any]]
    done: Required[Count]
    active: Required[Mapping[str, Count]]
    executed: Required[Mapping[str, Mapping[str, float]]]
    events: Required[list[Timed]]
    seconds: Required[Duration]
    resumed: Required[list[Count]]
    environment: Required[dict[str, Any]]
    files: Required[Texts]


EVENTS: Mapping[object, type] = {"train": Trained, "update": Updated, "evaluate": Evaluated}


def check(name: str, form: type, content: object) -> None:
    """Refuse the content of a file of that name if it is not of that form.

    Raises:
        ValueError: says where, what is there and what should be.
    """
    try:
        _adapter(form).validate_python(content)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        where = dotted(mistake["loc"])
        if mistake["type"] == "missing":
            raise ValueError(f"{name}: it lacks {where!r}") from error
        given = repr(mistake["input"])[:80]
        allowed = mistake["msg"].removeprefix("Input ")
        raise ValueError(f"{name}: {where}{': ' if where else ''}given {given}, {allowed}") from error


def check_brief(identity: object, environment: object, result: object) -> None:
    """The same for the three documents that a record is made of."""
    check("config.json", Identity, identity)
    check("environment.json", Environment, environment)
    check("result.json", Result, result)


def check_event(name: str, content: object) -> None:
    """The same for one event of a file; those of a kind that is not known here need nothing more."""
    check(name, Happened, content)
    kind = cast("Mapping[str, object]", content)["kind"]
    if kind in EVENTS:
        check(name, EVENTS[kind], content)


@cache
def _adapter(form: type) -> TypeAdapter[Any]:
    return TypeAdapter(form)
