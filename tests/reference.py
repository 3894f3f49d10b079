"""Published figures that lie beside the repository, or a skip that says so."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "../shared/reference"


def read(name):
    """A JSON file of reference figures."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no reference figures beside the repository (../shared/reference/{name})")
    return json.loads(path.read_text())
