"""`sparsebench export RUN`: a record's network as files that timm and other runs load."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import exporting, plugins
from sparsebench import records as store
from sparsebench.cli.options import RUNS, Records
from sparsebench.cli.output import say
from sparsebench.cli.work import recorded
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
    record = store.read(_folder(run, records))
    model = plugins.load("models", record.config.model)
    found, path = exporting.exported(record, model), to or Path(f"{record.id}.safetensors")
    for file in exporting.write(found, path, force):
        say(f"wrote {file}: {exporting.contents(found) if file == path else _masks(found)}")
    if reason := exporting.described(record, model):
        say(reason)
    say(f"next: {exporting.next_command(record, model, path)}")


def _masks(found: exporting.Export) -> str:
    return f"masks of {len(found.masks)} layers, {100 * found.density:.2f} % of their weights active"


def _folder(run: str, records: Path) -> Path:
    """The record of a run, by its folder or by its id.

    Raises:
        UserError: there is none.
    """
    if (Path(run) / "result.json").is_file():
        return Path(run)
    if store.NAME.fullmatch(run) and recorded(records, run):
        return records / run
    close = difflib.get_close_matches(run, [path.name for path in store.paths(records)], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(
        f"there is no run {run!r} in {records}: {hint}its id is the name of its record's folder, which may be given too"
    )
