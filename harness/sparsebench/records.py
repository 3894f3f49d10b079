"""Run records: plain files that are the truth. The board reads them, MLflow mirrors them.

A record is a folder named after its run, written aside and renamed when complete, so it is there whole or not at
all. Nothing in it is ever executed: JSON, JSON lines and safetensors.

    config.json          the run's resolved settings, data fingerprint and numerics versions: what its id hashes
    environment.json     hardware, versions, commit, device: recorded, not hashed
    layers.json          the network's input, and every prunable layer: shape, size, active, density, macs
    events.jsonl         one line per training segment, mask update and evaluation, in order; the last of a run that
                         diverged tells how, in place of the one that was to be (JSON has no NaN)
    result.json          accuracy, FLOPs, bytes, speed, share of connections that were ever active (`explored`, R_s);
                         its `status` is complete, or diverged: no accuracy then, and what was executed until then
    weights.safetensors  final parameters and running statistics, canonical layout
    masks.safetensors    final masks, bit-packed in canonical flat order (uint8), shapes in the metadata
    movement.safetensors how masks moved (sparsebench.movement), where they did; older records have none
    rewind.safetensors   the same at the step that tickets rewind to, where the run was asked to keep them
    SHA256SUMS           digests of all these (sparsebench.seals): what is read is held against them; older records have
                         none, and are read as they are

Weights and masks of a run that diverged are those it ended with: hardly a finite number among them may be left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from sparsebench import bits, bounded, divergence, forms, mistakes, movement, seals, tensors
from sparsebench.aside import aside, flush, flush_folder
from sparsebench.config import RunConfig
from sparsebench.divergence import Divergence
from sparsebench.errors import UserError
from sparsebench.movement import Movement
from sparsebench.reading import document, reading
from sparsebench.seals import Files

Json = dict[str, Any]
SCHEMA = 1
DOCUMENTS = ("config", "environment", "layers", "result")
BRIEF = ("config", "environment", "result")
"""The documents that a record is made of; all else is read on demand."""
NAME = re.compile(forms.NAME)
REWIND, MOVEMENT = "rewind.safetensors", "movement.safetensors"
FILES = (*(f"{name}.json" for name in DOCUMENTS), "events.jsonl", "weights.safetensors", "masks.safetensors")
ALL = (*FILES, REWIND, MOVEMENT)
"""Those that a record has, and those that it may have."""


@dataclass(frozen=True)
class Record:
    """One finished run, as its files tell it; what is large is read on demand."""

    path: Path
    id: str
    config: RunConfig
    identity: Json
    environment: Json
    result: Json
    diverged: Divergence | None = None
    """When and how the run diverged, if it did."""
    find: Callable[[str], Path] | None = field(default=None, compare=False, repr=False)
    """Where one of its files is, for a record whose files are not in the folder `path`."""

    def file(self, name: str) -> Path:
        """The path of one of its files, if it has it."""
        return self.find(name) if self.find else self.path / name

    @property
    def files(self) -> Files:
        """Its files, as they were written."""
        return Files(self.file)

    def verify(self) -> bool:
        """Hold every file against its digest; False: it is of an older version, and has none. Raises as `events`."""
        with reading(self.path):
            return self.files.verify(ALL)

    def own(self) -> list[Path]:
        """Its files that are there; no links, and nothing that somebody put beside them."""
        paths = [self.path / name for name in (*ALL, seals.NAME)]
        return [path for path in paths if path.is_file() and not path.is_symlink()]

    @property
    def layers(self) -> list[Json]:
        """Every prunable layer: name, kind, shape, size, active, density, macs; raises as `events` does."""
        return self._table["layers"]

    @property
    def input(self) -> Json | None:
        """What the network was built for: shape of an image, classes, width; older records do not say."""
        return self._table.get("input")

    @cached_property
    def _table(self) -> Json:
        with reading(self.path):
            (table,) = _documents(self.files, "layers")
            forms.check("layers.json", forms.Layers, table)
            return table

    def events(self) -> list[Json]:
        """Training segments (`kind: train`), updates (`update`) and evaluations (`evaluate`), in order.

        Of a run that diverged the last is `diverged`, with what its result says of it and what it did meanwhile.

        Raises:
            UserError: the file is missing or damaged; so do the other two.
        """
        with reading(self.path):
            (content,) = self.files.contents(["events.jsonl"], bounded.json_room())
            events = [from_json(line) for line in content.splitlines()]
            for event in events:
                forms.check_event("events.jsonl", event)
            return events

    def weights(self) -> dict[str, NDArray[Any]]:
        """Final parameters and running statistics: name -> array, canonical layout."""
        with reading(self.path):
            return self.files.arrays("weights.safetensors")[0]

    @property
    def has_rewind(self) -> bool:
        """Whether it holds weights that tickets rewind to, or should; raises as `events` does."""
        with reading(self.path):
            return bool(self.config.rewind and not self.diverged) or self.files.has(REWIND)

    def rewind(self) -> dict[str, NDArray[Any]]:
        """The same at the step that tickets rewind to: name -> array, canonical layout."""
        with reading(self.path):
            return self.files.arrays(REWIND)[0]

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Final masks: layer name -> bool, canonical shape; none for a dense run."""
        with reading(self.path):
            packed, metadata = self.files.arrays("masks.safetensors", bits.COPIES)
            shapes = document("masks.safetensors", metadata["shapes"])
            return {name: bits.unpacked(packed[name], shape) for name, shape in shapes.items()}

    def movement(self) -> Movement | None:
        """How the masks moved; None for masks that never did, and for older records."""
        with reading(self.path):
            if not self.files.has(MOVEMENT):
                return None
            found = movement.from_file(*self.files.arrays(MOVEMENT))
            layers = [(layer["name"], layer["size"]) for layer in self.layers]
            if list(zip(found.layers, found.sizes, strict=True)) != layers:
                raise ValueError(f"{MOVEMENT} is of other layers than layers.json")
        return found


# ---- reading --------------------------------------------------------------------------------------------------


def paths(root: Path) -> Iterator[Path]:
    """Folders of finished runs under `root`, by name; what is being written is passed over."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if not path.name.startswith(".") and is_there(path):
            yield path


def is_there(path: Path) -> bool:
    """Whether that folder is a record: a whole one, or what is left of one, which reading it will tell."""
    return any((path / f"{name}.json").is_file() for name in ("result", "config"))


def read_all(root: Path) -> list[Record]:
    """Every finished record under `root`.

    Raises:
        UserError: with a line for each record that cannot be read.
    """
    return mistakes.gathered(read, paths(root))


def read(path: Path) -> Record:
    """The record in one folder.

    Raises:
        UserError: a document is missing, damaged or of another schema.
    """
    with reading(path):
        record = of(path, *_documents(Files(path.joinpath), *BRIEF))
    _ = record.layers  # read now: a record that is damaged is refused as a whole
    return record


def of(path: Path, identity: Json, environment: Json, result: Json) -> Record:
    """The record in the folder `path` that has these documents for its `BRIEF` ones.

    Raises:
        KeyError, TypeError, ValueError: they lack something, or are of another schema.
    """
    if identity["schema"] != SCHEMA:
        raise ValueError(f"it has schema {identity['schema']}, this version reads schema {SCHEMA}")
    forms.check_brief(identity, environment, result)
    config = RunConfig.model_validate(identity["config"])
    return Record(path, identity["id"], config, identity, environment, result, divergence.of(result))


def _documents(files: Files, *names: str) -> list[Json]:
    names = tuple(f"{name}.json" for name in names)
    return [*map(document, names, files.contents(names, bounded.document_room()))]


# ---- writing --------------------------------------------------------------------------------------------------


def write(
    root: Path,
    id: str,
    documents: Mapping[str, Any],
    events: Sequence[Json],
    weights: Mapping[str, NDArray[Any]],
    masks: Mapping[str, NDArray[np.bool_]],
    rewind: Mapping[str, NDArray[Any]] | None = None,
    moved: Movement | None = None,
    place: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Write a record aside, flush it to disk, rename it into place; a record already there is left alone.

    Another `place` (folder, target) may do something else with it.

    Raises:
        UserError: it cannot be written.
    """
    with _new(root, id, place or _place) as folder:
        for name in DOCUMENTS:
            (folder / f"{name}.json").write_text(json.dumps(documents[name], indent=1, allow_nan=False) + "\n")
        lines = (json.dumps(event, allow_nan=False) + "\n" for event in events)
        (folder / "events.jsonl").write_text("".join(lines))
        tensors.write(folder / "weights.safetensors", weights, {})
        shapes = json.dumps({name: mask.shape for name, mask in masks.items()})
        tensors.write(folder / "masks.safetensors", bits.packed(masks), {"shapes": shapes})
        if rewind is not None:
            tensors.write(folder / REWIND, rewind, {})
        if moved is not None:
            tensors.write(folder / MOVEMENT, moved.arrays(), moved.metadata())
        seals.write(folder)
    return root / id


def copy(record: Record, root: Path) -> None:
    """Take in a record that was made elsewhere, as `write` writes one; other files in its folder stay behind.

    What has been copied is held against its digests, not what was looked at before.

    Raises:
        UserError: one of its files cannot be read, is a link or not what was written, or it cannot be written here.
    """
    with _new(root, record.id, _place) as folder:
        for name in _names(record):
            with reading(record.path):
                content = bounded.own(record.file(name), bounded.room())
            (folder / name).write_bytes(content)
        with reading(record.path):
            Files(folder.joinpath).verify(ALL)


def _names(record: Record) -> list[str]:
    """Its files that are there, or should be."""
    with reading(record.path):
        more = (MOVEMENT, seals.NAME)
        return [*FILES, *([REWIND] if record.has_rewind else []), *filter(record.files.has, more)]


@contextmanager
def _new(root: Path, id: str, place: Callable[[Path, Path], None]) -> Generator[Path]:
    """A folder to be filled, which then becomes the record."""
    if not NAME.fullmatch(id):
        raise ValueError(f"{id!r} cannot name a record: letters, digits, dots, hyphens and underscores only")
    try:
        with aside(root) as folder:
            yield folder
            folder.chmod(0o755)
            flush(folder)
            place(folder, root / id)
            flush_folder(root)  # the rename too, before checkpoints go
    except OSError as error:
        raise UserError(
            f"records in {root} cannot be written ({error.strerror or error}): is there room, and may you write?"
        ) from error


def _place(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not (target / "result.json").is_file():  # not a record: something else is in the way
            raise
