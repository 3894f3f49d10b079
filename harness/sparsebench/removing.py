"""Taking a run's record and checkpoints away: each is there whole, or gone.

A folder is renamed before anything in it is deleted, to a name of those that are swept away wherever they are found;
so nothing new has to be written, where a disk is full. Checkpoints go first: a record is whole without them.
"""

from __future__ import annotations

from contextlib import ExitStack

from sparsebench import redoing
from sparsebench.aside import AT_ONCE, alone_in, discard
from sparsebench.errors import UserError
from sparsebench.holdings import Holding


class BusyError(Exception):
    """Another process trains the run now."""


def remove(run: Holding) -> None:
    """Remove all that is held of a run.

    Raises:
        BusyError: nothing was touched.
        UserError: something cannot be removed; what was not reached is as it was.
    """
    try:
        with ExitStack() as stack:
            if run.checkpoints.is_dir():  # whoever trains it has made that folder
                stack.enter_context(alone_in(run.checkpoints, AT_ONCE))
            redoing.unmark(run.root, run.id)
            for part in run.parts:
                discard(part, run.root)
    except BlockingIOError as error:
        raise BusyError(run.id) from error
    except OSError as error:
        raise UserError(f"{run.record} cannot be removed ({error.strerror}): may you write in {run.root}?") from error
    redoing.tidy(run.root)
