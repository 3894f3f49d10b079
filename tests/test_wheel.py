"""The wheel: every package is typed, and what the command line reads beside modules is in it."""

import zipfile
from pathlib import Path

import pytest

import installed

ROOT = Path(__file__).parents[1]
PACKAGES = {"sparsebench", "sparsebench_torch", "sparsebench_jax", "sparsebench_models", "sparsebench_board"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = installed.python("-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", folder, ROOT)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_every_package_is_there_and_typed(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_what_is_read_beside_modules_is_there(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder, pattern in (
        (ROOT / "suites", "*.toml"),
        (ROOT / "docs" / "methods", "*.md"),
        (ROOT / "harness" / "sparsebench" / "templates", "**/*.template"),
        (ROOT / "examples" / "sparsebench-example" / "src" / "sparsebench_example", "*.py"),
    ):
        root = ROOT / "harness" / "sparsebench" if "harness" in folder.parts else ROOT
        wanted = {f"sparsebench/{path.relative_to(root).as_posix()}" for path in folder.glob(pattern)}
        assert wanted
        assert wanted <= set(names)


def test_new_plugins_are_written_from_it(wheel, tmp_path):
    """With nothing of the checkout: the modules come from the wheel itself."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    for kind in ("method", "backend", "model"):
        code, _, err = installed.sparsebench("new", kind, f"my-{kind}", site=site, folder=tmp_path)
        assert (code, err) == (0, [])
    asked = "import sparsebench; print(sparsebench.__file__)"
    assert str(site) in installed.python("-c", asked, site=site).stdout
    assert (tmp_path / "sparsebench-my-backend/src/sparsebench_my_backend/trainer.py").is_file()
