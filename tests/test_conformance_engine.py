"""The search for a case that breaks a law: it follows the seed, ends, and takes refusals for what they are."""

import sys
from dataclasses import replace

import pytest

from sparsebench.conformance import BrokenLawError
from sparsebench.conformance.engine import SHRINKS, Status, examine
from sparsebench.conformance.functions import Functions
from sparsebench.conformance.scoring import CHECKS
from sparsebench.conformance.suite import plan
from sparsebench.errors import NonFiniteScoreError, UserError
from sparsebench.methods.rigl import rigl


def test_without_hypothesis_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(
        UserError, match=r"checks need hypothesis, not installed here: pip install 'sparsebench\[check\]'"
    ):
        examine(CHECKS[0], Functions(rigl, "numpy"), 1, 0)


def test_the_same_seed_finds_the_same():
    trial = plan(rigl).trial("seeds", "numpy")
    tried = []
    counting = replace(trial.check, holds=lambda place, case: tried.append(case))
    for seed in (3, 3, 4):
        examine(counting, trial.place, 10, seed)
    assert tried[:10] == tried[10:20]
    assert tried[:10] != tried[20:]


def test_shrinking_ends():
    """What fails always, and never the same way, is tried a bounded number of times."""
    tried = []

    def holds(place, case):
        tried.append(case)
        raise BrokenLawError(f"the {len(tried)}th")

    trial = plan(rigl).trial("clock", "numpy")
    found = examine(replace(trial.check, holds=holds), trial.place, 10, 0)
    assert found.status is Status.BROKEN
    assert len(tried) <= SHRINKS + 2


def test_a_law_that_fails_now_and_then_is_broken():
    """A case that failed is not tried again, so a plugin of chance is found out as well."""
    tried = []

    def holds(place, case):
        tried.append(case)
        if len(tried) == 4:
            raise RuntimeError("out of luck")

    trial = plan(rigl).trial("seeds", "numpy")
    found = examine(replace(trial.check, holds=holds), trial.place, 10, 0)
    assert (found.status, found.reason, found.example) == (Status.BROKEN, "RuntimeError: out of luck", tried[3])


def test_what_is_refused_is_no_failure():
    def holds(place, case):
        raise UserError("not here")

    trial = plan(rigl).trial("seeds", "numpy")
    found = examine(replace(trial.check, holds=holds), trial.place, 10, 0)
    assert (found.status, found.reason, found.failed) == (Status.REFUSED, "not here", False)


def test_an_error_of_scores_that_are_sound_is_a_broken_law():
    """`NonFiniteScoreError` is a `UserError`, and no refusal."""

    def holds(place, case):
        raise NonFiniteScoreError("fc1", "drop")

    trial = plan(rigl).trial("seeds", "numpy")
    found = examine(replace(trial.check, holds=holds), trial.place, 3, 0)
    assert found.status is Status.BROKEN
    assert found.reason.startswith("NonFiniteScoreError: layer 'fc1'")
