"""Plugins by name: found without importing, refused in one line, never in the way of the sound ones."""

import os
import subprocess
import sys

import pytest

import toy
from sparsebench import plugins
from sparsebench.errors import UserError

OURS = {
    "backends": {"torch", "jax"},
    "methods": {"dense", "static", "set", "rigl", "pruning"},
    "models": {"lenet-300-100"},
    "datasets": {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "cifar100-subset"},
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions, the toy box among them."""
    toy.install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._entries.cache_clear()
    yield tmp_path
    plugins._entries.cache_clear()


def add(site, name, source, entry_points):
    """Install a distribution of one module beside the others."""
    toy.install(site, name, entry_points)
    (site / f"{name}.py").write_text(source)
    sys.modules.pop(name, None)
    plugins._entries.cache_clear()


@pytest.mark.parametrize("group", OURS)
def test_ours_are_registered(group):
    assert set(plugins.names(group)) >= OURS[group]


def test_other_packages_are_found_beside_ours(site):
    assert plugins.load("backends", "toy") is toy.backend
    assert plugins.load("datasets", "dots") is toy.dots
    assert plugins.load("methods", "rigl").name == "rigl"


def test_names_import_nothing(site):
    assert {"broken", "wrong", "rigl"} <= set(plugins.names("methods"))


@pytest.mark.parametrize(
    ("group", "name", "told"),
    [
        ("methods", "rigll", ["unknown method 'rigll'", "did you mean 'rigl'?", "rigl, rigl-2-4, rigl-itop, set"]),
        ("datasets", "imagenot", ["unknown data set 'imagenot'", "digits", "dots"]),
        ("methods", "broken", ["'broken' of package 'toybox'", "ModuleNotFoundError", "toy_that_is_not_there"]),
        ("methods", "wrong", ["'wrong' of package 'toybox'", "a Source", "sparsebench.method.Method"]),
        ("methods", "alias", ["'alias' of package 'toybox'", "calls itself 'rigl'"]),
        ("backends", "needy", ["no-such-package", "pip install 'sparsebench[needy]'"]),
    ],
)
def test_refused_in_one_line(site, group, name, told):
    with pytest.raises(UserError) as caught:
        plugins.load(group, name)
    message = str(caught.value)
    assert "\n" not in message
    for words in told:
        assert words in message


def test_a_name_of_two_packages_is_refused_and_the_rest_still_works(site):
    toy.install(site, "chest", "[sparsebench.backends]\ntoy = toy:backend\n")
    plugins._entries.cache_clear()
    with pytest.raises(UserError, match="'toy' is claimed by chest and toybox: uninstall all but one"):
        plugins.load("backends", "toy")
    assert plugins.load("datasets", "dots") is toy.dots


def test_a_survey_tells_summaries_and_faults(site):
    found = dict(plugins.survey("methods"))
    assert {name for name, told in found.items() if isinstance(told, UserError)} == {"broken", "wrong", "alias"}
    assert found["static"] == plugins.load("methods", "static").summary


BROKEN = {
    "missing": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax": ("def method(:", "SyntaxError: invalid syntax"),
    "raises": ("raise OSError('no device\\nat all')", "OSError: no device at all"),
    "exits": ("raise SystemExit('a script')", "SystemExit: a script"),
    "empty": ("", "AttributeError: module 'broken_empty' has no attribute 'method'"),
    "older": ("from sparsebench.method import Method\nmethod = Method('broken_older', 'old', speed=2)",
              "TypeError: Method.__init__() got an unexpected keyword argument 'speed'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_whatever_is_broken_is_named_with_its_package(site, case):
    source, reason = BROKEN[case]
    name = f"broken_{case}"
    add(site, name, source, f"[sparsebench.methods]\n{name} = {name}:method\n")
    with pytest.raises(UserError) as caught:
        plugins.load("methods", name)
    assert str(caught.value).startswith(
        f"method {name!r} of package {name!r} ({name}:method) cannot be loaded: {reason}"
    )
    assert "\n" not in str(caught.value)
    found = dict(plugins.survey("methods"))
    assert isinstance(found[name], UserError)
    assert found["rigl"] == plugins.load("methods", "rigl").summary


def test_an_entry_that_names_no_object_is_refused(site):
    add(site, "odd", "", "[sparsebench.methods]\nodd = odd method\n")
    with pytest.raises(UserError, match=r"method 'odd' of package 'odd' \(odd method\) cannot be loaded"):
        plugins.load("methods", "odd")


def sparsebench(site, *arguments):
    """The real command line, in a process of its own."""
    path = os.pathsep.join([str(site), os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "sparsebench.cli", *arguments],
        capture_output=True, text=True, cwd=site, env=os.environ | {"PYTHONPATH": path}, timeout=120,
    )  # fmt: skip


def test_plugins_are_not_imported_for_help(site):
    """Each would leave a file behind."""
    groups = {"methods": "method", "backends": "backend", "models": "model", "datasets": "source", "families": "family"}
    entry_points = "".join(f"[sparsebench.{group}]\nslow-{kind} = slow:{kind}\n" for group, kind in groups.items())
    add(site, "slow", "open('imported', 'w').close()", entry_points)
    for arguments in (["--help"], ["--version"], ["train", "--help"], ["run", "--help"], ["check", "--help"]):
        done = sparsebench(site, *arguments)
        assert done.returncode == 0, done.stderr
        assert not (site / "imported").exists(), arguments
    assert "slow-method" in sparsebench(site, "train", "--help").stdout, "by name they are known"
    sparsebench(site, "list", "methods")
    assert (site / "imported").exists()


def test_a_name_of_two_packages_is_a_warning_in_the_list_and_an_error_in_a_run(site):
    toy.install(site, "chest", "[sparsebench.methods]\nrigl = toy:method\n")
    listed = sparsebench(site, "list", "methods")
    told = "method 'rigl' is claimed by chest and sparsebench: uninstall all but one of them"
    assert listed.returncode == 0
    assert f"warning: {told}" in listed.stderr.splitlines()
    assert any(line.startswith("set ") for line in listed.stdout.splitlines())
    for arguments in (["train", "--method", "rigl"], ["check", "rigl"], ["show", "method", "rigl"]):
        done = sparsebench(site, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {told}\n")
