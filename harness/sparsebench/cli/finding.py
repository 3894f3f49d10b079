"""A run that somebody names on the command line: by its id, or by the folder of its record."""

from __future__ import annotations

import difflib
from pathlib import Path

from sparsebench import records as store
from sparsebench.cli.work import recorded
from sparsebench.errors import UserError


def folder(run: str, records: Path) -> Path:
    """The folder of a run's record.

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
