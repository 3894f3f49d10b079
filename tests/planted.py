"""For plugins with one mistake each: what a check of the suite finds out about them."""

from dataclasses import replace

from sparsebench import plugins
from sparsebench.conformance.certificate import tried
from sparsebench.conformance.suite import plan


def outcome(subject, check, on, cases=10):
    """The outcome of one check at one place."""
    return tried(plan(subject).trial(check, on), cases, 0)


def backend(trainer, name="torch"):
    """The first-party backend of that name with another trainer."""
    return replace(plugins.load("backends", name), trainer=trainer)
