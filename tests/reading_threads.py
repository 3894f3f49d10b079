"""The threads that read images, but for those of trainers that other tests keep."""

import threading

import pytest


def readers():
    """All that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("sparsebench-read")]


@pytest.fixture
def reading():
    """A function for those that have begun since the test did."""
    before = readers()
    return lambda: [thread for thread in readers() if thread not in before]
