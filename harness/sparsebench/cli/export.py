"""`sparsebench export RUN`: a record's network as files that timm and other runs load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import exporting, plugins
from sparsebench import records as store
from sparsebench.cli import finding
from sparsebench.cli.options import RUNS, Records
from sparsebench.cli.output import say
from sparsebench.errors import UserError


def export(
    run: Annotated[str, Parameter(name="RUN", help="a run's id, or the folder of its record")],
    /,
    *,
    to: Annotated[Path | None, Parameter(help="file to write; default: the run's id in the current folder")] = None,
    force: Annotated[bool, Parameter(help="overwrite files that are there", negative="")] = False,
    records: Records = RUNS,
) -> None:
    """Write a run's weights, exactly zero outside its masks, and the masks beside them."""
    if to is not None and not to.name:
        raise UserError(f"--to {str(to)!r} is a folder: give the name of a file, such as net.safetensors")
    record = store.read(finding.folder(run, records))
    model = plugins.load("models", record.config.model)
    found, path = exporting.exported(record, model), to or Path(f"{record.id}.safetensors")
    for file in exporting.write(found, path, force):
        say(f"wrote {file}: {exporting.contents(found) if file == path else _masks(found)}")
    if reason := exporting.described(record, model):
        say(reason)
    say(f"next: {exporting.next_command(record, model, path)}")


def _masks(found: exporting.Export) -> str:
    return f"masks of {len(found.masks)} layers, {100 * found.density:.2f} % of their weights active"
