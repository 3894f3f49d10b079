"""Hardware documents to MLflow: one run for each in an experiment of their own. The files are the truth.

Mirroring again changes nothing: a finished run with the digest of its file is left alone; one that an interrupted
mirror left unfinished is deleted when the document is there whole.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sparsebench.hardware import documents
from sparsebench.hardware.reading import megabytes
from sparsebench.hardware.schema import Ceilings, Document, Product, Step
from sparsebench_board.entries import DIGEST, KIND
from sparsebench_board.mirror import DAMAGED, Outcome, Tally, patience
from sparsebench_board.shelf import BATCH, FINISHED
from sparsebench_board.tracking import check_answer, connect, experiment, line, load, within

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "sparsebench-hardware"


def mirror(paths: Sequence[Path], uri: str, artifacts: Path) -> Outcome:
    """Mirror documents to the store at `uri`; artifacts go to the folder `artifacts` if the store is a local file.

    Whatever goes wrong in the store is part of the outcome, and so is that it is too slow.

    Raises:
        UserError: MLflow is not installed.
    """
    load()
    tally = Tally(len(paths))
    if not paths:
        return Outcome()
    try:
        within(patience(tally.total), lambda: _mirror_all(paths, uri, artifacts, tally))
    except Exception as error:  # stores raise what they like; the files are complete, so the caller goes on
        tally.reasons.append(line(error))
    return tally.outcome()


def _mirror_all(paths: Sequence[Path], uri: str, artifacts: Path, tally: Tally) -> None:
    client = connect(uri)
    place = experiment(client, uri, artifacts, EXPERIMENT)
    for path in paths:
        tally.hurry()
        _mirror(client, place, path, tally)


def _mirror(client: MlflowClient, place: str, path: Path, tally: Tally) -> None:
    try:
        document, digest = documents.read(path), hashlib.sha256(path.read_bytes()).hexdigest()
    except DAMAGED as error:
        tally.reasons.append(line(error))
        return
    known: list[Run] = list(client.search_runs([place], f"tags.`{DIGEST}` = '{digest}'"))
    finished = [run for run in known if run.info.status == FINISHED]
    if not finished:
        _add(client, place, path, document, digest)
    for run in known:
        if run not in finished[:1]:
            client.delete_run(run.info.run_id)
    tally.counts["present" if finished else "new"] += 1


def _add(client: MlflowClient, place: str, path: Path, document: Document, digest: str) -> None:
    from mlflow.entities import Metric, Param

    started = round(datetime.fromisoformat(document.machine.started).timestamp() * 1000)
    run = client.create_run(place, started, tags(document) | {DIGEST: digest, KIND: "hardware"}, path.stem)
    check_answer(client, run.info)
    id, now = run.info.run_id, round(time.time() * 1000)
    client.log_batch(id, params=[Param(name, value) for name, value in parameters(document).items()])
    found = [Metric(name, value, now, 0) for name, value in metrics(document).items()]
    for start in range(0, len(found), BATCH):
        client.log_batch(id, metrics=found[start : start + BATCH])
    client.log_artifact(id, str(path))
    client.set_terminated(id, FINISHED)


# ---- what MLflow is told --------------------------------------------------------------------------------------


def tags(document: Document) -> dict[str, str]:
    """What to filter by: the device, its driver, versions."""
    machine = document.machine
    found = {"device": machine.device, "device_name": machine.name, "cpu": machine.cpu, "python": machine.python}
    found |= {"sparsebench": machine.sparsebench, "commit": machine.commit or "", "threads": str(machine.threads)}
    found |= {f"gpu.{name}": value for name, value in (machine.gpu or {}).items()}
    found |= {f"version.{name}": version for name, version in machine.packages.items()}
    return {name: value for name, value in found.items() if value}


def parameters(document: Document) -> dict[str, str]:
    """What was asked for."""
    asked = document.settings
    listed = {"backends": asked.backends, "precisions": asked.precisions}
    listed["models"] = tuple(f"{each.model} {each.batch} x {each.size} px" for each in asked.workloads)
    plain = {"repeats": f"{asked.repeats}", "seconds": f"{asked.seconds:g}"}
    return plain | {name: ", ".join(values) for name, values in listed.items()}


def metrics(document: Document) -> dict[str, float]:
    """Medians by model, backend and precision, rounded to four digits; what is not known is left out."""
    found = dict(_ceilings(document.machine.ceilings))
    for step in document.steps:
        found |= {f"{step.model}/{step.backend}/{step.precision}/{name}": value for name, value in _of_step(step)}
    for row in document.products:
        found |= {f"{row.name}/{row.kernel}/{row.density:g}/{name}": value for name, value in _of_product(row)}
    return {_allowed(name): rounded(value) for name, value in found.items() if value is not None}


def _allowed(name: str) -> str:
    """MLflow takes no other characters in a name, and none that would lead out of a folder."""
    return re.sub(r"[^A-Za-z0-9_\-. :/]|\.\.", "_", name.replace("×", "x"))


def rounded(value: float) -> float:
    """To four significant digits: the UI cuts longer ones."""
    return float(f"{value:.4g}") if math.isfinite(value) else value


def _ceilings(found: Ceilings) -> Iterator[tuple[str, float | None]]:
    if found.memory:
        yield "machine/memory_gb_per_second", found.memory.rate / 1e9
    for kind, each in found.products.items():
        yield f"machine/{kind}_gflop_per_second", each.rate / 1e9


def _of_step(step: Step) -> Iterator[tuple[str, float | None]]:
    ratio, memory = step.masked_to_dense, step.memory
    yield from (("masked_to_dense", ratio.median), ("masked_to_dense_low", ratio.low))
    yield "masked_to_dense_high", ratio.high
    yield from (("dense_ms", 1000 * step.step_seconds.dense), ("masked_ms", 1000 * step.step_seconds.masked))
    yield "images_per_second", step.images_per_second.masked
    yield "compile_s", step.compile_seconds.masked
    yield "update_ms", 1000 * step.update.median if step.update else None
    yield from (("peak_mb", megabytes(memory.peak)), ("masks_mb", megabytes(sum(memory.masks.values()))))
    yield from (("dense_step_mb", megabytes(memory.dense)), ("masked_step_mb", megabytes(memory.masked)))


def _of_product(row: Product) -> Iterator[tuple[str, float | None]]:
    yield "ms", 1000 * row.median
    if row.speedup and row.pattern != "dense":
        yield from (("speedup", row.speedup.median), ("speedup_low", row.speedup.low))
        yield from (("speedup_high", row.speedup.high), ("theory", row.theory))
