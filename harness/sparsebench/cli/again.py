"""`--again`: runs that are recorded are done again; the old record stays until the new one takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import holdings, redoing
from sparsebench.cli import board
from sparsebench.cli.asking import confirmed
from sparsebench.cli.dry import span
from sparsebench.cli.output import note, say, warn
from sparsebench.cli.work import Entry, recorded
from sparsebench.errors import UserError
from sparsebench.launch import launched
from sparsebench.outcome import Outcome
from sparsebench.printing import command
from sparsebench.worker import Event, Finished

Again = Annotated[
    bool, Parameter(negative=(), help="do again what is recorded too: asks first, and tells what comes out differently")
]
Yes = Annotated[bool, Parameter(negative=(), help="go ahead without asking")]
FEW = 3
"""Differences of a run that are told; the rest is for `sparsebench compare`."""


def check(again: bool, yes: bool) -> None:
    """Refuse an answer to what nobody asks.

    Raises:
        UserError: it is given, or it is asked of several processes.
    """
    if again and launched():
        raise UserError("--again asks first, and launched processes have no terminal: give --devices instead")
    if yes and not again:
        raise UserError("--yes is for --again, which asks before it trains: give both, or leave --yes out")


def left(entries: Sequence[Entry], records: Path) -> list[Entry]:
    """The recorded runs that are to be done again: those that an interrupted attempt has left, or else all."""
    found = [entry for entry in entries if recorded(records, entry.id)]
    return [entry for entry in found if redoing.is_marked(records, entry.id)] or found


def agreed(found: Sequence[Entry], records: Path, yes: bool) -> bool:
    """Ask whether these runs are to be done again, and mark them.

    Raises:
        UserError: there is no terminal to ask at, or the folder of records cannot be written.
    """
    if not confirmed(_question(found, records), yes):
        note("nothing was done: all records are as they were")
        return False
    try:
        redoing.mark(records, [entry.id for entry in found])
    except OSError as error:
        raise UserError(f"{records} cannot be written ({error.strerror}): give another folder of records") from error
    return True


def _question(found: Sequence[Entry], records: Path) -> str:
    runs = f"{len(found)} recorded run{'s' * (len(found) > 1)}"
    begun = " that an earlier --again has left" if redoing.is_marked(records, found[0].id) else ""
    return f"Do {runs}{begun} again{_cost(found, records)}? Each record stays until the new one is whole."


def _cost(found: Sequence[Entry], records: Path) -> str:
    try:
        taken = [record.result["seconds"]["total"] for record in board.read(records, [entry.id for entry in found])]
    except (UserError, KeyError, TypeError):  # a damaged record is a reason to do its run again
        return ""
    return f" (before, {'they' if len(taken) > 1 else 'it'} took {span(sum(taken))}{' in all' * (len(taken) > 1)})"


def told(entries: Sequence[Entry], ends: Mapping[str, Event], records: Path) -> None:
    """Say how the runs that were done again came out: as before, or differently and where."""
    found = {id: again for id, end in ends.items() if (again := _again(end)) is not None}
    differing = {id for id, kept in found.items() if kept}
    if found:
        outcome = f"{len(differing)} came out differently" if differing else "all came out as before"
        say(f"done again: {len(found)} run{'s' * (len(found) > 1)}, {outcome}")
    for entry in entries:
        for kept, lines in found.get(entry.id, {}).items():
            compare = command("sparsebench", "compare", kept, records / entry.id)
            warn(
                f"{entry.label} seed {entry.asked.seed} came out differently ({'; '.join(lines[:FEW])}): "
                f"see `{compare}`"
            )
    if others := holdings.dependents(records, differing):
        warn(f"{len(others)} other runs start from tickets of those, and are as they were: {holdings.listed(others)}")


def _again(end: Event) -> Mapping[Path, Sequence[str]] | None:
    return end.result.differing if isinstance(end, Finished) and isinstance(end.result, Outcome) else None
