"""A process that is killed at a chosen step of what it does to files, as far as a test in the same one can have it."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

STEPS = ("rename", "unlink", "rmdir", "touch", "mkdir")


class Killed(BaseException):
    """Nobody catches it."""


class Steps:
    """Counts steps; the one of number `last` is not taken, and a tree of that number is removed by half."""

    def __init__(self, last):
        self.last, self.count = last, 0

    def next(self):
        """Whether this is the last one."""
        self.count += 1
        return self.count == self.last


@contextmanager
def at(last):
    """In here steps that change files are counted; yields the counter."""
    steps, real = Steps(last), shutil.rmtree

    def counted(step):
        def run(*arguments, **settings):
            if steps.next():
                raise Killed
            return step(*arguments, **settings)

        return run

    def rmtree(path, **settings):
        if steps.next():
            for file in [file for file in Path(path).rglob("*") if file.is_file()][::2]:
                file.unlink()
            raise Killed
        real(path, **settings)

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(Path, name, counted(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", rmtree)
        yield steps


def tree(folder):
    """Every file in a folder and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
