"""When a run keeps a checkpoint, and that it ends with one when it is asked to; replicas decide together."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench import checkpoints, replicas
from sparsebench.checkpoints import Checkpoint
from sparsebench.errors import UserError
from sparsebench.replicas import Alone, Group, anybody, by_first
from sparsebench.stopping import Asked, Stopped
from sparsebench.together import agree

if TYPE_CHECKING:
    from sparsebench.runner import Run


@dataclass(frozen=True)
class Keep:
    """A checkpoint every so many seconds, and where the run is asked to end; what is odd about those there is told."""

    every: float = math.inf
    tell: Callable[[str], None] = lambda line: None


WHEN_ASKED = Keep()
"""A checkpoint only where the run is asked to end."""


@dataclass
class Keeper:
    """Keeps a checkpoint when one is due: on any replica, as their clocks are not one."""

    root: Path
    keep: Keep
    asked: Asked
    began: float
    environment: Mapping[str, Any]
    group: Group = field(default_factory=Alone)
    last: float = field(default_factory=time.perf_counter)

    def visit(self, current: Run, done: int) -> None:
        """After a leg that is not the last. A checkpoint that cannot be written is told, and the run goes on.

        Raises:
            Stopped: the run was asked to end, and its checkpoint is kept, if there was room for it.
            ReplicasDifferError: they do.
        """
        stop = anybody(self.group, self.asked())
        if stop or anybody(self.group, time.perf_counter() - self.last >= self.keep.every):
            agree(self.group, current.trainer, current.state)
            kept = self._checkpoint(current, done)
            replicas.check(self.group, kept.state, "state")
            self._write(kept)
            self.last = time.perf_counter()
        if stop:
            raise Stopped

    def _write(self, kept: Checkpoint) -> None:
        try:
            by_first(self.group, lambda: os.fsencode(checkpoints.write(self.root, kept)))
        except UserError as error:  # the disk is full: the one before serves, and there may be room next time
            if self.group.rank == 0:
                self.keep.tell(str(error))

    def _checkpoint(self, current: Run, done: int) -> Checkpoint:
        notes = current.explored.arrays() | (current.notes.movement().arrays() if current.notes else {})
        return Checkpoint(
            current.prepared.identity, done, current.active, current.ledger.executed, current.journal.events,
            time.perf_counter() - self.began, current.resumed,
            current.trainer.snapshot(current.state), notes, current.rewind, self.environment,
        )  # fmt: skip
