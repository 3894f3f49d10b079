"""The folder of records: is each whole, and what has been left that takes room or wants to be finished?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sparsebench import aside, checkpoints, holdings, index, redoing, seals, tensors
from sparsebench import records as store
from sparsebench.doctor.finding import Finding, Place, ok, problem, warning
from sparsebench.errors import UserError
from sparsebench.printing import command
from sparsebench.reading import reading
from sparsebench.sizes import written

FEW = 5
"""Things of one kind that have a line each."""
DAY = 86400.0


def readable(place: Place) -> Iterable[Finding]:
    """Every record, each of its files against its digest; of weights without one, their header against the length."""
    if not place.records.is_dir():
        yield ok(f"no records in {place.records} yet: `sparsebench run quick` makes some")
        return
    paths = [path for path in store.paths(place.records) if (path / "result.json").is_file()]  # of others: `halves`
    damaged = [finding for path in paths for finding in _damage(path)]
    yield from damaged[:FEW]
    if len(damaged) > FEW:
        yield problem(f"{len(damaged) - FEW} more records are damaged", "remove them, then run or copy them again")
    if len(paths) > len(damaged):
        yield ok(f"{len(paths) - len(damaged)} records can be read")


def _damage(path: Path) -> Iterator[Finding]:
    try:
        record = store.read(path)
        record.events()
        record.masks()
        record.movement()
        with reading(path):
            for name in ("weights.safetensors", *([store.REWIND] if record.has_rewind else [])):
                tensors.check(path / name)
        record.verify()
        if record.id != path.name:
            yield problem(f"record {path} holds the run {record.id}", "rename the folder to that")
    except UserError as error:
        yield problem(str(error).rpartition(": ")[0], f"{_removed(path.name)}, then run or copy it again")


def _removed(id: str) -> str:
    return command("sparsebench", "rm", id)


def unsealed(place: Place) -> Iterable[Finding]:
    """Records without digests, in which nobody sees a changed bit."""
    paths = [path.name for path in store.paths(place.records) if not (path / seals.NAME).exists()]
    if paths:
        yield warning(
            f"damage may go unseen in records of older versions, which have no {seals.NAME}: {_some(paths)}",
            "nothing: they are read as ever, and runs done again have it",
        )


def halves(place: Place) -> Iterable[Finding]:
    """Folders that have lost the file that makes them a record."""
    for run in holdings.every(place.records):
        if run.record.is_dir() and not run.is_finished:
            yield problem(f"{run.record} is half a record: result.json is missing", _removed(run.id))


def partial(place: Place) -> Iterable[Finding]:
    """What processes that were killed have left half-written."""
    left = [path for path in _partial(place.records) if not aside.is_held(path)]
    if left:
        room = written(sum(map(holdings.size, left)))
        yield warning(
            f"{len(left)} half-written folders of processes that were killed, {room}",
            "nothing: the next `sparsebench run` or `rm` sweeps them away",
        )


def _partial(root: Path) -> Iterator[Path]:
    yield from root.glob(f"{aside.PREFIX}*")
    yield from root.glob(f"{checkpoints.FOLDER}/*/{aside.PREFIX}*")


def unfinished(place: Place) -> Iterable[Finding]:
    """Runs that have checkpoints: trained now, to be continued, or given up."""
    runs = [run for run in holdings.every(place.records) if run.checkpoints.is_dir()]
    training = [run for run in runs if run.is_training]
    if training:
        yield ok(f"{len(training)} runs are being trained now: {holdings.listed(training)}")
    left = [run for run in runs if run not in training]
    for run in left:
        yield from _damaged_checkpoints(run.checkpoints)
    if left:
        oldest = max(time.time() - run.checkpoints.stat().st_mtime for run in left)
        room = written(sum(holdings.size(run.checkpoints) for run in left))
        yield warning(
            f"{len(left)} unfinished run{'s' * (len(left) > 1)} with {room} of checkpoints, the oldest of "
            f"{_ago(oldest)}: {holdings.listed(left)}",
            "run their suite again to continue them, or `sparsebench rm RUN` to give them up",
        )


def _damaged_checkpoints(folder: Path) -> Iterator[Finding]:
    for path in sorted(each for each in folder.iterdir() if each.name.isdigit()):
        try:
            checkpoints.read(path)
        except checkpoints.DAMAGED as error:
            yield warning(f"checkpoint {path} is damaged ({error})", "nothing: the run goes back to the one before")


def _ago(seconds: float) -> str:
    return "today" if seconds < DAY else f"{seconds / DAY:.0f} days ago"


def again(place: Place) -> Iterable[Finding]:
    """What `--again` has left: runs still to be done again, and records that were replaced by different ones."""
    if marked := redoing.marked(place.records):
        yield warning(
            f"{len(marked)} runs are still to be done again, of an --again that was interrupted: {_some(marked)}",
            f"give the same command again, or remove {place.records / redoing.AGAIN} to leave them as they are",
        )
    kept = place.records / redoing.BEFORE
    for path in sorted(kept.iterdir()) if kept.is_dir() else []:
        run = redoing.run_of(path)
        yield warning(
            f"{run} came out differently when it was done again",
            f"{command('sparsebench', 'compare', path, place.records / run)}; remove {path} when you know why",
        )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:FEW]) + (f" and {len(ids) - FEW} more" if len(ids) > FEW else "")


def indexed(place: Place) -> Iterable[Finding]:
    """The index, which is never believed against the records."""
    if index.is_broken(place.records):
        yield warning(f"{place.records / index.NAME} is broken", "nothing: the next board makes it anew")
