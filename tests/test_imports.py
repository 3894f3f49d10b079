"""Imports are lazy: the harness brings no framework and no tracking, and its help needs none of them installed."""

import json

import pytest

from isolated import HEAVY, python

pytest_plugins = ("isolated",)


EACH_MODULE = """
import importlib, json, pkgutil, sys
heavy, brought = set(sys.argv[1:]), {}
def bring(name):
    importlib.import_module(name)
    brought[name] = sorted(heavy & set(sys.modules))
bring("sparsebench")
bring("sparsebench.cli")
for package in ("sparsebench", "sparsebench_models", "sparsebench_torch", "sparsebench_jax"):
    bring(package)
for module in pkgutil.walk_packages(sys.modules["sparsebench"].__path__, "sparsebench."):
    bring(module.name)
print(json.dumps(brought))
"""

ONE_TRAINER = """
import json, sys
from sparsebench import plugins
name, *heavy = sys.argv[1:]
backend = plugins.load("backends", name)
before = sorted(set(heavy) & set(sys.modules))
backend.trainer("cpu")
print(json.dumps([before, sorted(set(heavy) & set(sys.modules))]))
"""


def test_no_module_of_the_harness_brings_a_framework():
    brought = json.loads(python("-c", EACH_MODULE, *HEAVY))
    assert {"sparsebench.cli.run", "sparsebench.data.feed", "sparsebench.methods.rigl"} <= set(brought)
    assert {name: found for name, found in brought.items() if found} == {}


def test_a_backend_brings_its_framework_when_asked_for_a_trainer(backend):
    before, after = json.loads(python("-c", ONE_TRAINER, backend.name, *HEAVY))
    assert before == []
    assert set(backend.packages) & set(HEAVY) <= set(after)
    assert {"torch", "jax"} & set(after) <= set(backend.packages)


def test_the_blocker_blocks(without):
    code = "try:\n    import torch\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert python("-c", code, **without) == "No module named 'torch', blocked\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], ["run", "train", "leaderboard", "ui", "list", "import"]),
        (["--version"], ["0."]),
        (["run", "--help"], ["SUITE"]),
        (["train", "--help"], ["--sparsity"]),
        (["list", "methods"], ["rigl", "set", "static", "dense", "pruning"]),
    ],
    ids=["help", "version", "run", "train", "list"],
)
def test_help_needs_no_framework(without, arguments, told):
    shown = python("-m", "sparsebench.cli", *arguments, **without)
    assert [word for word in told if word not in shown] == []
