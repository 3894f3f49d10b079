"""In what two records of one run differ, file by file; only times and what is about the process may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsebench import seals, tensors

TIMES = ("seconds", "steps_per_second", "finished")


def differences(first: Path, second: Path) -> list[str]:
    """A line for each file that differs: bits of arrays, and text; but for times and the environment, and digests."""
    passing = {"environment.json", seals.NAME}
    names = sorted({path.name for folder in (first, second) for path in folder.iterdir()} - passing)
    return [f"{name} differs" for name in names if _content(first / name) != _content(second / name)]


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    if path.suffix == ".safetensors":  # whose header is in any order
        arrays, facts = tensors.read(path)
        return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}, facts
    return _READ.get(path.name, Path.read_bytes)(path)


def _timeless(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in TIMES}


_READ: dict[str, Callable[[Path], Any]] = {
    "events.jsonl": lambda path: [_timeless(json.loads(line)) for line in path.read_text().splitlines()],
    "result.json": lambda path: _timeless(json.loads(path.read_text())),
}
