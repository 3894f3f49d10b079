"""The whole benchmark: parts one after another, each in a process of its own that has all cores, within a time.

What `run` returns are the parts of a `schema.Document`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sparsebench import plugins
from sparsebench.executors import pool
from sparsebench.hardware import ceilings, products, training
from sparsebench.hardware.kernels import Missing
from sparsebench.hardware.machine import described
from sparsebench.hardware.products import Product, of_layer
from sparsebench.hardware.schema import SCHEMA
from sparsebench.hardware.workloads import Precision, Workload, layers
from sparsebench.worker import Failed, Finished, Report

LAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"lenet-300-100": ("fc1",), "resnet50": ("layer1.0.conv3", "layer3.1.conv1", "fc")}
)
"""Layers that are matrix products, of each kind of shape: wide input, many rows, square, few rows."""
WHOLE = frozenset({"lenet-300-100"})
"""Models that are nothing but linear layers."""

Document = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be measured, in about `seconds` altogether; `missing` is known to be out of reach."""

    device: str
    workloads: Sequence[Workload]
    backends: Sequence[str]
    precisions: Sequence[Precision]
    repeats: int
    seconds: float
    missing: Sequence[Missing] = ()


@dataclass(frozen=True)
class Part:
    """What one process does: `measure(seconds)` is a document; of what time is left it gets a share by its weight."""

    name: str
    measure: Callable[[float], Document]
    weight: int = 1


def run(plan: Plan, folder: Path, tell: Tell) -> Document:
    """All parts; `folder` holds what their processes print, in `log`. `tell` says what comes next."""
    began = time.perf_counter()
    document: Document = {
        "schema": SCHEMA, "kind": "hardware",
        "machine": described([plugins.load("backends", name) for name in plan.backends], plan.device),
        "settings": {key: value for key, value in asdict(plan).items() if key != "missing"},
        "steps": [], "products": [], "missing": [asdict(each) for each in plan.missing], "cut": [], "failed": False,
    }  # fmt: skip
    parts = list(_parts(plan))
    for i, part in enumerate(parts):
        left = began + plan.seconds - time.perf_counter()
        if left <= 0:
            document["cut"].append(f"{part.name}: all of it")
            continue
        tell(part.name)
        share = left * part.weight / sum(other.weight for other in parts[i:])
        _enter(document, part, _in_its_own_process(part, share, folder))
    return document


def _parts(plan: Plan) -> Iterator[Part]:
    """Kernels first, then models as they are listed: what one leaves of its time, the later and larger may use.

    The second precision comes last: where time is short, it is what is cut.
    """
    yield Part("ceilings", partial(ceilings.measure, plan.backends, plan.device))
    if chosen := list(_products(plan.workloads)):
        given = (chosen, plan.backends, plan.device, plan.repeats)
        yield Part("sparse kernels", partial(products.measure, *given), weight=3)
    for precision, workload, name in itertools.product(plan.precisions, plan.workloads, plan.backends):
        given = (workload, precision, name, plan.device, plan.repeats)
        yield Part(f"{workload.model} {name} {precision}", partial(training.measure, *given))


def _products(workloads: Sequence[Workload]) -> Iterator[Product]:
    for workload in workloads:
        table = layers(workload)
        for layer in table:
            if layer.name in LAYERS.get(workload.model, ()):
                yield of_layer(workload.model, layer, workload.batch)
        if workload.model in WHOLE:
            yield Product(workload.model, tuple((layer.shape[0], layer.shape[1]) for layer in table), workload.batch)


def _enter(document: Document, part: Part, outcome: Document | Failed) -> None:
    """A part's result, or that there is none."""
    if isinstance(outcome, Failed):
        document["missing"].append(asdict(Missing(part.name, outcome.reason)))
        document["failed"] = True
    elif "ceilings" in outcome:
        document["machine"]["ceilings"] = outcome["ceilings"]
        document["missing"] += outcome["missing"]
    elif "products" in outcome:
        for key in ("products", "missing", "cut"):
            document[key] += outcome[key]
    else:
        document["steps"].append(outcome)
        document["cut"] += [f"{part.name}: {what}" for what in outcome["cut"]]


def _in_its_own_process(part: Part, seconds: float, folder: Path) -> Document | Failed:
    job = pool.Job(part.name, part.name, (part.measure, seconds))
    with closing(pool.run(_measured, [job], 1, folder / "log")) as events:
        for _, event in events:
            if isinstance(event, Finished):
                return event.result
            if isinstance(event, Failed):
                return event
    raise AssertionError(f"the pool told no end of {part.name!r}")


def _measured(asked: tuple[Callable[[float], Document], float], report: Report) -> Document:
    measure, seconds = asked
    return measure(seconds)
