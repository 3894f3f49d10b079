"""A run's result document: what it reached and what it cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sparsebench import ledger
from sparsebench.conventions import known
from sparsebench.divergence import COMPLETE, DIVERGED, Divergence
from sparsebench.environment import now
from sparsebench.journal import Journal
from sparsebench.layers import Layer
from sparsebench.prepare import Prepared
from sparsebench.tickets import Beginning
from sparsebench.trainer import FrameworkCount, Metrics, Task

BYTES_PER_WEIGHT = 4


def layer_table(layers: Sequence[Layer], active: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row for each prunable layer: name, kind, shape, size, active, density, macs."""
    return [
        {
            "name": layer.name, "kind": layer.kind, "shape": list(layer.shape), "size": layer.size,
            "active": active[layer.name], "density": active[layer.name] / max(1, layer.size), "macs": layer.macs,
        }
        for layer in layers
    ]  # fmt: skip


def result(
    prepared: Prepared, end: Metrics | Divergence, account: ledger.Ledger, active: Mapping[str, int],
    journal: Journal, began: float, ticket: Beginning | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The record's `result.json`. Accuracy is that of the last iteration; ratios are to dense training at 1x.

    A run that diverged has none, and what it executed until then.
    """
    task = prepared.task
    total = time.perf_counter() - began
    return {
        **_reached(end),
        "steps": task.steps,
        **costs(prepared, account, active, ticket.flops if ticket else 0),
        **sizes(task.prunable, active, dense=prepared.method.dense),
        "seconds": {**journal.seconds(), "total": round(total, 6)},
        "steps_per_second": journal.steps_per_second(),
        "finished": now(),
    }


def _reached(end: Metrics | Divergence) -> dict[str, Any]:
    if isinstance(end, Divergence):
        return {"status": DIVERGED, "diverged": asdict(end), "accuracy": None, "loss": None}
    return {"status": COMPLETE, "accuracy": end.accuracy, "loss": end.loss}


def costs(prepared: Prepared, account: ledger.Ledger, active: Mapping[str, int], source: float = 0) -> dict[str, Any]:
    """FLOPs: training as executed, inference of one sample with the final masks, and dense for comparison.

    A run from a ticket has cost what its `source` did, the search for it included, and what it executed itself. None
    stands for unknown: what `uncounted` names has no rule, and no sum that it is a part of is known.
    """
    task = prepared.task
    executed = account.totals()
    training, inference = source + sum(executed.values()), ledger.forward(task.layers, active)
    dense = ledger.dense(task.full_width)
    dense_training = 3 * dense * task.recipe.batch_size * task.steps / prepared.config.multiplier
    return {
        "training_flops": known(training),
        "source_training_flops": known(source),
        "dense_training_flops": known(dense_training),
        "training_ratio": known(training / dense_training),
        "inference_flops": known(inference),
        "dense_inference_flops": known(dense),
        "inference_ratio": known(inference / dense),
        "executed": _known(executed),
        "executed_by_layer": {name: _known(row) for name, row in account.executed.items()},
        "uncounted": [layer.name for layer in task.layers if layer.kind == "other"],
    }


def _known(counts: Mapping[str, float]) -> dict[str, float | None]:
    return {kind: known(count) for kind, count in counts.items()}


def counted(count: FrameworkCount, task: Task) -> dict[str, Any]:
    """The framework's own count of a dense forward pass of one sample, beside the ledger's."""
    ours = ledger.dense(task.layers)
    ratio = None if count.forward is None or not ours else known(count.forward / ours)
    return {"tool": count.tool, "forward": count.forward, "ours": known(ours), "ratio": ratio}


def sizes(layers: Sequence[Layer], active: Mapping[str, int], dense: bool) -> dict[str, int]:
    """Prunable parameters, and the bytes of their active values (float32) plus one mask bit for each entry."""
    parameters = sum(layer.size for layer in layers)
    alive = sum(active[layer.name] for layer in layers)
    bits = 0 if dense else sum(-(-layer.size // 8) for layer in layers)
    return {"parameters": parameters, "active_parameters": alive, "bytes": BYTES_PER_WEIGHT * alive + bits}
