"""Python in a process of its own, and an environment in which the heavy packages are not there."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "jax", "flax", "optax", "timm", "mlflow", "sklearn", "scipy", "matplotlib", "PIL")

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}, blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""


def python(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def without(tmp_path):
    """An environment in which none of the heavy packages can be imported."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(names=HEAVY))
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path}
