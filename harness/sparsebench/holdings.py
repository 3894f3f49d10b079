"""What a folder of records holds of each run, sound or not: its record, checkpoints, and the record before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from sparsebench import aside, bounded, checkpoints, records, redoing
from sparsebench.config import RunConfig

FEW = 3
"""Runs that are listed by id."""


@dataclass(frozen=True)
class Holding:
    """One run by its id; each part may be missing, and what is there may be damaged."""

    root: Path
    id: str

    @property
    def record(self) -> Path:
        """The folder of its record."""
        return self.root / self.id

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return checkpoints.folder(self.root, self.id)

    @property
    def before(self) -> list[Path]:
        """The folders of records that new ones have replaced."""
        return redoing.kept(self.root, self.id)

    @property
    def parts(self) -> list[Path]:
        """The folders that are there; the record comes last."""
        return [path for path in (self.checkpoints, *self.before, self.record) if path.is_dir()]

    @property
    def is_finished(self) -> bool:
        """Whether it has its record."""
        return (self.record / "result.json").is_file()

    @property
    def is_training(self) -> bool:
        """Whether a process trains it now."""
        return self.checkpoints.is_dir() and aside.is_held(self.checkpoints)

    @cached_property
    def bytes(self) -> int:
        """All that its files take."""
        return sum(size(part) for part in self.parts)

    @cached_property
    def config(self) -> RunConfig | None:
        """Its settings, of its record or of a checkpoint; None where neither tells them."""
        for read in (self._of_record, self._of_checkpoint):
            with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
                return RunConfig.model_validate(read()["config"])
        return None

    def _of_record(self) -> dict[str, Any]:
        return from_json(bounded.own(self.record / "config.json", bounded.DOCUMENT))

    def _of_checkpoint(self) -> dict[str, Any]:
        newest = max(path for path in self.checkpoints.iterdir() if path.name.isdigit())
        content = bounded.own(newest / checkpoints.PROGRESS, bounded.json_room())
        return from_json(content.split(b"\n", 1)[1])["identity"]


def size(folder: Path) -> int:
    """Bytes of all files in a folder, as far as they can be seen."""
    return sum(_bytes(path) for path in folder.rglob("*"))


def _bytes(path: Path) -> int:
    with suppress(OSError):
        found = path.lstat()
        return found.st_size if path.is_symlink() or path.is_file() else 0
    return 0


def one(root: Path, id: str) -> Holding | None:
    """What is held of the run of that id; None: nothing."""
    found = Holding(root, id)
    return found if records.NAME.fullmatch(id) and (_is_record(found.record) or found.checkpoints.is_dir()) else None


def every(root: Path) -> Iterator[Holding]:
    """Each run of which there is something, by id."""
    finished = {path.name for path in _folders(root) if _is_record(path)}
    begun = {path.name for path in _folders(root / checkpoints.FOLDER)}
    for id in sorted(finished | begun):
        if found := one(root, id):
            yield found


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_record(folder: Path) -> bool:
    """Whether a folder is a record or what is left of one."""
    return any((folder / name).is_file() for name in records.FILES)


def dependents(root: Path, ids: Collection[str]) -> list[Holding]:
    """The runs that start from tickets of these, or of one that does."""
    sources = {run: run.config.ticket.source for run in every(root) if ids and run.config and run.config.ticket}
    reached = set(ids)
    while more := {run.id for run, source in sources.items() if source in reached} - reached:
        reached |= more
    return [run for run in sources if run.id in reached - set(ids)]


def listed(runs: Sequence[Holding]) -> str:
    """The first few of them by id."""
    return ", ".join(run.id for run in runs[:FEW]) + (f" and {len(runs) - FEW} more" if len(runs) > FEW else "")
