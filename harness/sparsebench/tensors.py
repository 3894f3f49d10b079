"""Named arrays in safetensors files: read back without executing anything, checked against what the header says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def write(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Arrays of any memory order, and text about them."""
    from safetensors.numpy import save

    packed = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    path.write_bytes(save(packed, dict(metadata) or None))  # {} beside no arrays makes a file that cannot be read


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """(arrays, the text about them).

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = path.read_bytes()
    try:
        arrays = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays, header.get("__metadata__", {})


def check(path: Path) -> None:
    """Hold a file against its header, without reading the arrays.

    Raises:
        OSError, ValueError: as `read` does.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
