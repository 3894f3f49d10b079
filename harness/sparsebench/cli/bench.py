"""`sparsebench bench`: the hardware benchmark, on random data that every machine has."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from sparsebench import aside, plugins
from sparsebench.cli import benched, board
from sparsebench.cli.devices import absent
from sparsebench.cli.options import RUNS, MLflow, Records, check_writable, whole
from sparsebench.cli.output import complain, note, say
from sparsebench.errors import UserError
from sparsebench.hardware import documents, workloads
from sparsebench.hardware.kernels import Missing
from sparsebench.hardware.schema import Document
from sparsebench.hardware.suite import Plan, run
from sparsebench.mistakes import refuse, told
from sparsebench.models import declared_builder

Format = Literal["table", "json"]


def bench(
    *,
    model: Annotated[
        list[str] | None, Parameter(help="a model, may be given again; default: four", negative="")
    ] = None,
    backend: Annotated[
        list[str] | None, Parameter(help="a backend, may be given again; default: all installed", negative="")
    ] = None,
    precision: Annotated[
        list[workloads.Precision] | None, Parameter(help="of training, may be given again; default: both", negative="")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], Parameter(help="what to measure")] = "cpu",
    repeats: Annotated[
        int, Parameter(help="pairs of a comparison", validator=validators.Number(gte=1), converter=whole)
    ] = 20,
    seconds: Annotated[
        float, Parameter(help="about how long it may take; repeats are cut first", validator=validators.Number(gt=0))
    ] = 600,
    format: Annotated[Format, Parameter(help="how to print it")] = "table",
    records: Annotated[Records, Parameter(help="folder of run records; the document goes to `hardware` in it")] = RUNS,
    to: Annotated[Path | None, Parameter(help="write the document to this file, too")] = None,
    mlflow: Annotated[MLflow, Parameter(help="mirror the document to MLflow")] = True,
    show: Annotated[Path | None, Parameter(help="measure nothing: print this document of an earlier run")] = None,
) -> int:
    """Measure dense and masked steps, and kernels that are really sparse, against the best dense engine."""
    if show is not None:
        if model or backend or precision or to:
            raise UserError("--show prints a document as it is: leave --model, --backend, --precision and --to out")
        _print(documents.read(show), format)
        return 0
    plan = _plan(model or (), backend or (), precision or workloads.PRECISIONS, device, repeats, seconds)
    _check_file(to)
    check_writable(records)
    document = _measured(plan)
    path = documents.write(document, records)
    if to is not None:
        _write(to, document, path)
    _print(document, format)
    note(f"document: {path}")
    if mlflow:
        board.mirror_hardware([path], records)
    return 1 if document.failed else 0


def _write(to: Path, document: Document, path: Path) -> None:
    try:
        aside.put({to: f"{documents.text(document)}\n".encode()})
    except OSError as error:
        raise UserError(f"--to {to}: cannot be written ({error.strerror}): copy {path}, which is the same") from error


def _print(document: Document, format: Format) -> None:
    if format == "json":
        say(documents.text(document))
    else:
        benched.show(document)


def _plan(
    models: Sequence[str], names: Sequence[str], precisions: Sequence[workloads.Precision], device: str, repeats: int,
    seconds: float,
) -> Plan:  # fmt: skip
    """What can be measured of what was asked for; where nothing is named, what is not installed is only told.

    Raises:
        UserError: a name is unknown, a backend cannot build a model that was named, or has no such device.
    """
    chosen = workloads.chosen(models, device)
    found = dict(plugins.survey("backends"))
    backends = list(dict.fromkeys(names)) or [name for name, what in found.items() if isinstance(what, str)]
    missing = [Missing(f"backend {name}", str(found[name])) for name in found if not names and name not in backends]
    refuse([line for name in backends for line in told(lambda name=name: plugins.load("backends", name))])
    if not backends:
        raise UserError("no backend is installed: pip install 'sparsebench[torch]' or 'sparsebench[jax]'")
    unbuildable = {name: _unbuildable(name, chosen) for name in backends}
    if not names:
        missing += [Missing(f"backend {name}", lines[0]) for name, lines in unbuildable.items() if lines]
        backends = [name for name in backends if not unbuildable[name]]
    refuse([line for name in backends for line in unbuildable[name]])
    refuse(absent(backends, device))
    return Plan(device, chosen, backends, list(dict.fromkeys(precisions)), repeats, seconds, missing)


def _unbuildable(backend: str, chosen: Sequence[workloads.Workload]) -> list[str]:
    """A line for each model that the backend cannot build."""
    loaded = plugins.load("backends", backend)
    models = [plugins.load("models", workload.model) for workload in chosen]
    return [line for model in models for line in told(lambda model=model: declared_builder(model, loaded))]


def _check_file(to: Path | None) -> None:
    """Refuse a file that cannot be written, before minutes are spent."""
    if to is None:
        return
    try:
        tempfile.TemporaryFile(dir=to.absolute().parent).close()
    except OSError as error:
        raise UserError(f"--to {to}: cannot write there ({error.strerror}); give another file") from error
    if to.is_dir():
        raise UserError(f"--to {to}: a folder is there; give the name of a file")


def _measured(plan: Plan) -> Document:
    """The document; what processes print is kept where one of them failed."""
    folder = Path(tempfile.mkdtemp(prefix="sparsebench-bench-"))
    try:
        document = documents.made(run(plan, folder, lambda name: note(f"measuring {name}")))
        if document.failed:
            kept = Path(tempfile.mkdtemp(prefix="sparsebench-bench-")) / "log"
            shutil.move(folder / "log", kept)
            complain(f"something failed, see `missing`; what its process printed is in {kept}")
        return document
    finally:
        shutil.rmtree(folder, ignore_errors=True)
