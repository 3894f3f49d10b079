"""The conformance suite on what ships here, as anybody's package would have it."""

import pytest

from sparsebench import plugins
from sparsebench.conformance import parametrize_with_checks
from sparsebench.conformance.suite import plan
from sparsebench.errors import UserError


def laws(name, cases):
    """A test for each law of the plugin; if it is not installed, one that skips with the reason."""
    try:
        return parametrize_with_checks(name, cases=cases)
    except UserError as error:
        return pytest.mark.parametrize("check", [pytest.param(None, marks=pytest.mark.skip(reason=str(error)))])


@laws("torch", 6)
def test_torch(check):
    check()


@laws("jax", 2)
def test_jax(check):
    check()


@laws("snfs-redistributed", 3)
def test_a_method(check):
    check()


@laws("small-conv", 2)
def test_a_model(check):
    check()


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_functions_of_every_method(name):
    from sparsebench.conformance.certificate import tried

    for trial in plan(plugins.load("methods", name)).trials:
        if trial.place.name == "numpy":
            assert not tried(trial, 20, 0).failed, trial.id
