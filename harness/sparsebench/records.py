"""Run records: plain files that are the truth. The board reads them, MLflow mirrors them.

A record is a folder named after its run, written aside and renamed when complete, so it is there whole or not at
all. Nothing in it is ever executed: JSON, JSON lines and safetensors.

    config.json          the run's resolved settings, data fingerprint and numerics versions: what its id hashes
    environment.json     hardware, versions, commit, device: recorded, not hashed
    layers.json          every prunable layer: shape, size, active, density, macs
    events.jsonl         one line per training segment, mask update and evaluation, in order
    result.json          accuracy, FLOPs, bytes, speed
    weights.safetensors  final parameters, canonical layout
    masks.safetensors    final masks, bit-packed in canonical flat order (uint8), shapes in the metadata
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench.config import RunConfig
from sparsebench.errors import UserError

Json = dict[str, Any]
SCHEMA = 1
PARTIAL = ".partial-"


@dataclass(frozen=True)
class Record:
    """One finished run, as its files tell it; `events` are read on demand."""

    path: Path
    id: str
    config: RunConfig
    identity: Json
    environment: Json
    layers: list[Json]
    result: Json

    def events(self) -> list[Json]:
        """Training segments (`kind: train`), updates (`update`) and evaluations (`evaluate`), in order."""
        return [json.loads(line) for line in (self.path / "events.jsonl").read_text().splitlines()]


def read(path: Path) -> Record:
    """The record in one folder.

    Raises:
        UserError: a file is missing, truncated or of another schema.
    """
    try:
        documents = {name: json.loads((path / f"{name}.json").read_text()) for name in _DOCUMENTS}
        identity = documents["config"]
        if identity["schema"] != SCHEMA:
            raise UserError(f"record {path}: schema {identity['schema']}; this version reads schema {SCHEMA}")
        config = RunConfig.model_validate(identity["config"])
        return Record(
            path, identity["id"], config, identity,
            documents["environment"], documents["layers"]["layers"], documents["result"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"record {path} cannot be read ({error}): remove the folder and run again") from error


_DOCUMENTS = ("config", "environment", "layers", "result")


def paths(root: Path) -> Iterator[Path]:
    """Folders of finished runs under `root`, by name; what is being written is passed over."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if not path.name.startswith(".") and (path / "result.json").is_file():
            yield path


def read_all(root: Path) -> list[Record]:
    """Every finished record under `root`.

    Raises:
        UserError: a record cannot be read.
    """
    return [read(path) for path in paths(root)]


def write(
    root: Path,
    id: str,
    documents: Mapping[str, Any],
    events: Sequence[Json],
    weights: Mapping[str, NDArray[Any]],
    masks: Mapping[str, NDArray[np.bool_]],
) -> Path:
    """Write a record aside, flush it to disk, rename it into place; a record already there is left alone."""
    from safetensors.numpy import save_file

    root.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=root))
    try:
        for name, document in documents.items():
            (aside / f"{name}.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
        (aside / "events.jsonl").write_text("".join(json.dumps(event, allow_nan=False) + "\n" for event in events))
        save_file(
            {name: np.ascontiguousarray(array) for name, array in weights.items()},
            aside / "weights.safetensors",
        )
        save_file(packed(masks), aside / "masks.safetensors", {"shapes": json.dumps(_shapes(masks))})
        aside.chmod(0o755)
        _flush(aside)
        return _place(aside, root / id)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def packed(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.uint8]]:
    """Each mask as bits, eight to a byte, highest bit first, in canonical flat order."""
    return {name: np.packbits(np.ascontiguousarray(mask).reshape(-1)) for name, mask in masks.items()}


def read_masks(path: Path) -> dict[str, NDArray[np.bool_]]:
    """The masks of the record in folder `path`: layer name -> bool, canonical shape."""
    from safetensors import safe_open

    with safe_open(path / "masks.safetensors", framework="numpy") as file:
        shapes = json.loads(file.metadata()["shapes"])
        return {name: _unpacked(file.get_tensor(name), shape) for name, shape in shapes.items()}


def _unpacked(bits: NDArray[np.uint8], shape: list[int]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(np.bool_)


def _shapes(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[int]]:
    return {name: list(mask.shape) for name, mask in masks.items()}


def _flush(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _place(aside: Path, target: Path) -> Path:
    try:
        aside.rename(target)
    except OSError:
        if not (target / "result.json").is_file():  # not a record: something else is in the way
            raise
    return target
