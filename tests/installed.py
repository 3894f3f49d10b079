"""Packages of somebody else, installed into a folder of their own and seen from outside, by the command line."""

import os
import subprocess
import sys


def install(project, folder):
    """`pip install` of a project into a folder, without its dependencies and without a network."""
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = python("-m", "pip", "install", "--quiet", *offline, "--target", folder, project)
    assert done.returncode == 0, done.stderr


def python(*arguments, site=None, folder=None):
    """A Python of this environment in which what is installed in the folder `site` is found too."""
    path = os.pathsep.join(filter(None, (site and str(site), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def sparsebench(*arguments, site, folder):
    """The command line in that Python: (exit code, lines of output, lines of errors)."""
    done = python("-m", "sparsebench.cli", *arguments, site=site, folder=folder)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()
