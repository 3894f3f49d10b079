"""What all tests share: every installed backend through one fixture, and one Hypothesis profile."""

import os
import signal

import pytest
from hypothesis import settings

from sparsebench import plugins
from sparsebench.errors import UserError

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads must not spin where others want the core
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # two frameworks share a GPU, where there is one

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so it is in the background, and would be in what tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite(
    "examined", "faulty_mlflow", "isolated", "malicious", "picture_records", "site_records", "wrong_world"
)  # modules of fixtures that are imported too

settings.register_profile("sparsebench", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("sparsebench")


@pytest.fixture(scope="session", params=plugins.names("backends"))
def backend(request):
    """Each backend in turn; one that is not installed skips with the reason."""
    try:
        return plugins.load("backends", request.param)
    except UserError as error:
        pytest.skip(str(error))
