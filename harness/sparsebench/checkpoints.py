"""A run's state between two legs, from which it continues to the bit: `RECORDS/.checkpoints/ID/DONE/`.

    progress.json       iterations done, active counts, FLOPs so far, events so far; digests of the others and itself
    state.safetensors   the backend's snapshot
    rewind.safetensors  the weights that tickets rewind to, once they have been passed
    notes.safetensors   how the masks have moved, and which connections were ever active

Written aside, flushed and renamed, so one is there whole or not at all, and the last two are kept: if the newest is
damaged all the same, the one before serves. Nothing in them is ever executed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic_core import from_json

from sparsebench import bounded, environment, forms, tensors
from sparsebench.aside import alone_in, aside, flush, flush_folder, sweep
from sparsebench.errors import UserError
from sparsebench.settings import differing, flat

SCHEMA = 2
FOLDER = ".checkpoints"
KEPT = 2
PROGRESS = "progress.json"
PARTS = ("state", "notes", "rewind")
DAMAGED = (OSError, ValueError, KeyError, TypeError)
"""What reading a checkpoint raises that is damaged, or that cannot be read now."""
GONE = (FileNotFoundError, NotADirectoryError)
"""Of the errors of the system those that mean that a part of it is lost."""

Json = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]
Tell = Callable[[str], None]


class SchemaError(ValueError):
    """It was written by another version."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """After `done` iterations of the run whose `config.json` is `identity`; `seconds` is what it has taken so far.

    `resumed` are the iterations after which it was continued from a checkpoint before, `environment` where it ran.
    """

    identity: Mapping[str, Any]
    done: int
    active: Mapping[str, int]
    executed: Mapping[str, Mapping[str, float]]
    events: list[Json]
    seconds: float
    resumed: tuple[int, ...]
    state: Arrays
    notes: Arrays
    rewind: Arrays | None = None
    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])


def folder(root: Path, id: str) -> Path:
    """Where a run's checkpoints are."""
    return root / FOLDER / id


@contextmanager
def held(root: Path, id: str) -> Generator[None]:
    """Wait until no other process trains this run, and keep others waiting in here.

    Raises:
        UserError: nothing can be written there.
    """
    place = folder(root, id)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(place))
        except OSError as error:
            raise UserError(f"cannot write to {root} ({error.strerror}): give another folder of records") from error
        sweep(place)
        yield


def write(root: Path, checkpoint: Checkpoint) -> Path:
    """Add a checkpoint and remove all but it and the one before.

    Raises:
        UserError: it cannot be written.
    """
    place = folder(root, checkpoint.identity["id"])
    try:
        with aside(place) as new:
            _fill(new, checkpoint)
            flush(new)
            target = place / f"{checkpoint.done:012d}"
            shutil.rmtree(target, ignore_errors=True)  # one of that iteration can only be there if it is damaged
            first = not _all(place)
            new.rename(target)
            for made in (place, place.parent, root) if first else (place,):
                flush_folder(made)
    except OSError as error:
        raise UserError(
            f"checkpoints in {root} cannot be written ({error.strerror or error}): is there room?"
        ) from error
    for newer in [path for path in _all(place) if path.name > target.name]:  # they were found damaged
        shutil.rmtree(newer, ignore_errors=True)
    thin(place)
    return target


def thin(place: Path) -> None:
    """Remove all checkpoints of a run but the last ones."""
    for old in _all(place)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _fill(new: Path, checkpoint: Checkpoint) -> None:
    for name, arrays in zip(PARTS, (checkpoint.state, checkpoint.notes, checkpoint.rewind), strict=True):
        if arrays is not None:
            tensors.write(new / f"{name}.safetensors", arrays, {})
    facts = {
        "schema": SCHEMA, "identity": dict(checkpoint.identity), "done": checkpoint.done,
        "active": dict(checkpoint.active), "executed": {name: dict(row) for name, row in checkpoint.executed.items()},
        "events": checkpoint.events, "seconds": checkpoint.seconds, "resumed": list(checkpoint.resumed),
        "environment": dict(checkpoint.environment),
        "files": {path.name: _digest(path.read_bytes()) for path in sorted(new.iterdir())},
    }  # fmt: skip
    text = json.dumps(facts)
    (new / PROGRESS).write_text(f"{_digest(text.encode())}\n{text}\n")


def latest(
    root: Path, identity: Mapping[str, Any], tell: Tell, here: Mapping[str, Any] | None = None
) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none.

    `tell` is given a line for each that is damaged, and one if that was written in an environment other than `here`.

    Raises:
        UserError: it is one of a run with other settings, or one that may be whole cannot be read now: memory is short,
            the disk fails, or another version wrote it. To pass over it would cost what it holds.
    """
    paths = _all(folder(root, identity["id"]))
    for path, older in itertools.zip_longest(paths, paths[1:]):
        try:
            found = read(path)
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            if remedy := _remedy(error):
                raise UserError(
                    f"checkpoint {path} cannot be read now ({reason}): {remedy}, or remove that folder to "
                    f"{'go back to the one before' if older else 'begin from the start'}"
                ) from error
            follows = "going back to the one before" if older else "the run begins from the start"
            tell(f"checkpoint {path} is damaged ({reason}): {follows}")
        else:
            _check(path, found.identity, identity)
            if here and (changed := environment.changed(found.environment, here)):
                tell(f"run {found.identity['id']} goes on, but need not to the bit: begun with {'; '.join(changed)}")
            return found
    return None


def _remedy(error: Exception) -> str:
    """What to do about one that may be whole; empty: it is damaged."""
    if isinstance(error, bounded.TooLargeError):
        return "free memory"
    if isinstance(error, SchemaError):
        return "go on with the version of sparsebench that wrote it"
    return "mend what the system says" if isinstance(error, OSError) and not isinstance(error, GONE) else ""


def read(path: Path) -> Checkpoint:
    """One checkpoint.

    Raises:
        ValueError, KeyError, TypeError: it is damaged.
        SchemaError, TooLargeError: both are ValueErrors: another version wrote it, or memory is short.
        OSError: the system cannot read it.
    """
    facts = _progress(path)
    state, notes, rewind = (_arrays(path / f"{name}.safetensors", facts["files"]) for name in PARTS)
    if state is None or notes is None:
        raise ValueError("it holds no state")
    forms.check(PROGRESS, forms.Passed, facts)
    for event in facts["events"]:
        forms.check_event(PROGRESS, event)
    return Checkpoint(
        facts["identity"], facts["done"], facts["active"], facts["executed"], facts["events"], facts["seconds"],
        tuple(facts["resumed"]), state, notes, rewind, facts["environment"],
    )  # fmt: skip


def digests(path: Path) -> Mapping[str, str]:
    """SHA-256 of a checkpoint's other files by name, to which `read` holds them; raises as that does."""
    return _progress(path)["files"]


def _progress(path: Path) -> Json:
    digest, _, text = bounded.own(path / PROGRESS, bounded.json_room()).partition(b"\n")
    if digest.decode() != _digest(text.rstrip(b"\n")):
        raise ValueError(f"{PROGRESS} does not match its digest")
    facts = from_json(text)
    if facts["schema"] != SCHEMA:
        raise SchemaError(f"schema {facts['schema']}, this version reads {SCHEMA}")
    return facts


def _arrays(path: Path, digests: Mapping[str, str]) -> Arrays | None:
    if path.name not in digests:
        return None
    content = bounded.own(path, bounded.room() // tensors.COPIES)
    if _digest(content) != digests[path.name]:
        raise ValueError(f"{path.name} does not match its digest")
    return tensors.parsed(content, path.name)[0]


def remove(root: Path, id: str) -> None:
    """All checkpoints of a run; it is recorded, or given up."""
    shutil.rmtree(folder(root, id), ignore_errors=True)


def _all(place: Path) -> list[Path]:
    """A run's checkpoints, the newest first."""
    if not place.is_dir():
        return []
    return sorted((path for path in place.iterdir() if path.name.isdigit()), reverse=True)


def _check(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found != wanted:
        what = "; ".join(differing(dict(flat(found)), dict(flat(wanted))))
        raise UserError(f"checkpoint {path} is of another run ({what}): remove that folder to begin from the start")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
