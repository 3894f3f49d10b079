"""Named arrays in safetensors files: read back without executing anything, checked against what the header says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from sparsebench import bounded

Arrays = dict[str, NDArray[Any]]
COPIES = 3
"""Bytes of memory that a byte of a file takes while it is read: the file, the arrays, and what they are turned into."""


def write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Arrays of any memory order, and text about them."""
    path.write_bytes(content(arrays, metadata))


def content(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """What is in such a file."""
    from safetensors.numpy import save

    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return save(packed, dict(metadata) or None)  # {} beside no arrays makes a file that cannot be read


def read(path: Path, copies: int = COPIES) -> tuple[Arrays, dict[str, str]]:
    """(arrays, the text about them) of a file that belongs to its folder, if `copies` of it fit into memory.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, too large, or a link.
        KeyError: it holds a type that NumPy has not.
    """
    return parsed(bounded.own(path, bounded.room() // copies), path.name)


def parsed(content: bytes, name: str) -> tuple[Arrays, dict[str, str]]:
    """The same of what is in the file called `name`; what its header says is held against its size first."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except SafetensorError as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    header = from_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays, header.get("__metadata__", {})


def check(path: Path) -> None:
    """Hold a file that belongs to its folder against its header, without reading the arrays.

    Raises:
        OSError, ValueError: as `read` does.
    """
    from safetensors import SafetensorError, safe_open

    bounded.check(path)
    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
