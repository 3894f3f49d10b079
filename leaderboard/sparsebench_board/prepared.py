"""Views of MLflow's pages with our columns, order and charts, so that nobody has to choose them among fifty metrics.

MLflow keeps a view that somebody shares as a tag of the experiment, and opens it by its key in the address. Neither is
documented: this is what its pages read in version 3.17 (mlflow/server/js, `ExperimentPageUIState` and saved views), and
a version that reads something else shows its usual page. Nothing here may stop a mirror or a server.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from sparsebench_board.entries import KIND, LABEL

PREFIX = "mlflow.sharedViewState."
CREATED = 1_767_225_600_000
"""Milliseconds since 1970, one for all: a tag that differs only in its time would be written anew every time."""

Chart = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A view: its key in the address, its name in MLflow's menu, what it opens on and what it shows."""

    key: str
    name: str
    state: Mapping[str, Any]
    mode: Literal["TABLE", "CHART"] = "TABLE"

    def address(self, experiment: str) -> str:
        """The path of the view on any server that has it."""
        query = {"workflowType": "machine_learning", "viewStateShareKey": self.key, "compareRunsMode": self.mode}
        return f"/#/experiments/{experiment}/runs?{urlencode(query)}"

    def tag(self) -> tuple[str, str]:
        """The experiment's tag that keeps it."""
        packed = base64.b64encode(zlib.compress(json.dumps(self.state).encode())).decode()
        envelope = {"name": self.name, "createdAt": CREATED, "updatedAt": CREATED, "state": f"deflate;{packed}"}
        return PREFIX + self.key, json.dumps(envelope)


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


NAME, STATUS = "attributes.`Run Name`", "runDateAndNestInfo"
WIDTHS: Mapping[str, int] = {
    NAME: 170, STATUS: 44,
    _tag("model"): 130, _tag("dataset"): 100, _tag("distribution"): 105, _tag("seed"): 60,
    _tag("method"): 120, _tag("sparsity"): 85, _tag("backend"): 85,
    _metric("accuracy_percent"): 145, _metric("accuracy_ci95_percent"): 180, _metric("seeds"): 75,
    _metric("test_loss"): 90, _metric("training_ratio"): 120, _metric("inference_ratio"): 130, _metric("bytes"): 100,
    _metric("steps_per_second"): 150,
}  # fmt: skip
TASK, IDENTITY = (tuple(map(_tag, part)) for part in (("model", "dataset"), ("method", "sparsity", "backend")))
REACHED = tuple(map(_metric, ("accuracy_percent", "accuracy_ci95_percent")))
COSTS = tuple(map(_metric, ("training_ratio", "inference_ratio", "bytes", "steps_per_second")))
CELL = (*TASK, *REACHED, *COSTS, _metric("seeds"), *IDENTITY, _tag("distribution"))
SEED = (_tag("seed"), _metric("accuracy_percent"), _metric("test_loss"), *COSTS)


def _state(kind: str, columns: Sequence[str], **other: Any) -> dict[str, Any]:
    """Runs of a kind, the most accurate first, with these columns in this order."""
    return {
        "searchFilter": f"tags.`{KIND}` = '{kind}'", "orderByKey": _metric("accuracy_percent"), "orderByAsc": False,
        "selectedColumns": columns, "columnOrder": [NAME, STATUS, *columns], "columnWidths": WIDTHS,
        "runsHiddenMode": "SHOW_ALL", **other,
    }  # fmt: skip


def _charts(title: str, *charts: Chart) -> dict[str, Any]:
    """Charts beside each other, in a section of their own; those that MLflow adds for each metric are in one that is
    shut."""
    shared = {"display": True, "isReordered": True}
    sections = [
        {"uuid": "sparsebench", "name": title, "columns": len(charts), "cardHeight": 480, **shared},
        {"uuid": "metrics", "name": "Model metrics", **shared, "display": False},
    ]
    return {
        "compareRunCharts": [{**chart, "metricSectionId": "sparsebench", "isGenerated": False} for chart in charts],
        "compareRunSections": sections, "isAccordionReordered": True,
    }  # fmt: skip


def _scatter(cost: str) -> Chart:
    axes = {"xaxis": {"key": cost, "type": "METRIC"}, "yaxis": {"key": "accuracy_percent", "type": "METRIC"}}
    return {"type": "SCATTER", "uuid": cost, "runsCountToCompare": 100, **axes}


PARALLEL: Chart = {
    "type": "PARALLEL", "uuid": "parallel", "displayName": "Method, sparsity, cost, accuracy", "showAllRuns": True,
    "selectedParams": ["method", "sparsity"],
    "selectedMetrics": ["training_ratio", "inference_ratio", "accuracy_percent"],
}  # fmt: skip
GROUPS = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": LABEL}]}
TOGETHER = {"orderByKey": _tag(LABEL), "orderByAsc": True}
"""MLflow loads 100 runs at a time and averages those: by accuracy, that would be the best seeds of each cell."""
FLOPS = "Accuracy against FLOPs"

VIEWS = (
    Prepared("sparsebench", "Leaderboard", _state("cell", CELL)),
    Prepared(
        "sparsebench-seeds", "Seeds by cell",
        _state("run", SEED, groupBy=GROUPS, columnWidths={**WIDTHS, NAME: 400}, **TOGETHER),
    ),
    Prepared(
        "sparsebench-flops", FLOPS,
        _state("cell", CELL, **_charts(FLOPS, _scatter("training_ratio"), _scatter("inference_ratio"))), "CHART",
    ),
    Prepared(
        "sparsebench-parallel", "Parallel coordinates",
        _state("cell", CELL, **_charts("Parallel coordinates", PARALLEL), runListHidden=True), "CHART",
    ),
)  # fmt: skip
BOARD = VIEWS[0]
"""The one to open first."""
