"""Taking a run's record and checkpoints away: each is there whole, or gone.

A folder is renamed out of sight before anything in it is deleted, into one that is swept away when its process is no
more. Checkpoints go first: a record without them is whole, and so is what they could have continued.
"""

from __future__ import annotations

from pathlib import Path

from sparsebench import redoing
from sparsebench.aside import AT_ONCE, alone_in, aside
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
        with alone_in(run.checkpoints, AT_ONCE):
            redoing.unmark(run.root, run.id)
            for part in run.parts:
                _remove(part, run.root)
    except BlockingIOError as error:
        raise BusyError(run.id) from error
    except OSError as error:
        raise UserError(f"{run.record} cannot be removed ({error.strerror}): may you write in {run.root}?") from error
    redoing.tidy(run.root)


def _remove(part: Path, root: Path) -> None:
    with aside(root) as rubbish:
        part.rename(rubbish / part.name)
