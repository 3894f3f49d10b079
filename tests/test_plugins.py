"""Plugins by name: found without importing, refused in one line, never in the way of the sound ones."""

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
