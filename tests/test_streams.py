"""What a command tells reaches whatever its streams are: of another encoding, closed, or full."""

import os
import subprocess
import sys

import pytest

CALL = "import sys; from sparsebench.cli import main; sys.exit(main())"


def told(*words, redirect="", **environ):
    line = ["sh", "-c", f'"$@" {redirect}', "sh", sys.executable, "-c", CALL, *words]
    return subprocess.run(line, env=os.environ | environ, capture_output=True, timeout=120)


def test_what_an_encoding_lacks_is_escaped():
    ended = told("density", "lenet-300-100", "--sparsity", "0.5", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"\\u" in ended.stdout


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "2>/dev/full"])
def test_closed_and_full_streams_leave_the_exit_code(redirect):
    ended = told("run", "nope", redirect=redirect)
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
