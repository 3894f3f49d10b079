"""How to run a cell again: with what its runs were made, and the commands that make them anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sparsebench import command
from sparsebench.records import Record
from sparsebench_board.cells import Cell
from sparsebench_board.rows import Row

WIDTH = 92
"""Characters in a line of a command."""


@dataclass(frozen=True)
class Steps:
    """The commands that train a run again, in their order, each in lines for a shell; None where there are none.

    `source` is the run that the first one starts from, where that is not among the records; else empty.
    """

    seed: int
    commands: tuple[tuple[str, ...], ...] | None
    source: str


def made(row: Row, cell: Cell) -> str:
    """With what it was made, on what, from which data."""
    versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
    dirty = "; + is a commit with changes that it does not hold" if "+)" in versions else ""
    data = str(cell.identity.get("data"))[:12]
    return f"Made with {versions}{dirty}; on {row.hardware}; from data whose fingerprint begins with {data}."


def steps(record: Record, known: Mapping[str, Record]) -> Steps:
    """Commands for a run and, first, for those that its ticket comes from, as far as they are known by their ids."""
    runs = _ancestry(record, known)
    found = [command.train(each.config, each.environment.get("device") or "cpu") for each in runs]
    commands = tuple(tuple(wrapped(words)) for words in found if words is not None)
    ticket = runs[0].config.ticket
    return Steps(record.config.seed, commands if len(commands) == len(found) else None, ticket.source if ticket else "")


def _ancestry(record: Record, known: Mapping[str, Record]) -> list[Record]:
    """A run after all that its ticket goes back to; ids in a circle, which no run has, are followed once."""
    found = {record.id: record}
    while record.config.ticket and (source := known.get(record.config.ticket.source)) and source.id not in found:
        found[source.id] = record = source
    return list(reversed(found.values()))


def wrapped(words: Iterable[str], width: int = WIDTH) -> list[str]:
    """A command over several lines, each but the last with a backslash at its end."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word if not lines else f"  {word}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
