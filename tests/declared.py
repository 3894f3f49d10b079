"""Fixture: the models that pyproject.toml declares, whether or not this environment was installed since."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from sparsebench import plugins

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture
def declared_models(monkeypatch):
    """Every model of pyproject.toml by name."""
    table = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["sparsebench.models"]
    ours = {name: (EntryPoint(name, value, "sparsebench.models"),) for name, value in table.items()}
    installed = plugins._entries
    monkeypatch.setattr(plugins, "_entries", lambda group: ours if group == "models" else installed(group))
    return list(ours)
