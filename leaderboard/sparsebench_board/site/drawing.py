"""Pictures of whole benchmarks. Where there are many runs, processes of their own draw them while pages are made."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from sparsebench.errors import UserError
from sparsebench.executors.pool import available_cores
from sparsebench.records import Record
from sparsebench_board.pictures import KINDS
from sparsebench_board.pictures.kind import Kind

MANY = 300
"""Runs: of fewer, pictures take less than processes take to start."""
MOST = 8


@dataclass(frozen=True)
class Drawn:
    """A picture of a kind, or why there is none."""

    kind: Kind
    svg: str
    reason: str = ""


Draw = Callable[[int], list[Drawn]]


@contextmanager
def drawing(kinds: Mapping[str, Kind], benchmarks: Sequence[Sequence[Record]]) -> Generator[Draw]:
    """A function from a place among the benchmarks to their pictures, of the kinds that show whole ones.

    Raises:
        UserError: a package is missing.
    """
    whole = [kind for kind in kinds.values() if kind.whole]
    cores = min(len(available_cores()), MOST)
    here = any(record.find for records in benchmarks for record in records)  # how to fetch files is this process' own
    if kinds is not KINDS or here or cores < 2 or sum(map(len, benchmarks)) < MANY:
        yield lambda place: [_draw(kind, benchmarks[place]) for kind in whole]
        return
    crew = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _undisturbed)
    try:
        asked = [[crew.submit(_by_name, kind.name, own) for kind in whole] for own in benchmarks]
        yield lambda place: [
            _result(future, kind, benchmarks[place]) for future, kind in zip(asked[place], whole, strict=True)
        ]
    finally:
        crew.shutdown(cancel_futures=True)


def _undisturbed() -> None:
    """Ctrl-C is for the process that waits for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_name(name: str, records: Sequence[Record]) -> tuple[str, str]:
    """In a process that is sent no kind, since kinds hold functions."""
    drawn = _draw(KINDS[name], records)
    return drawn.svg, drawn.reason


def _result(future: Future[tuple[str, str]], kind: Kind, records: Sequence[Record]) -> Drawn:
    """Drawn here where the processes cannot work, as under a script that has no guard against being run by them."""
    try:
        return Drawn(kind, *future.result())
    except BrokenProcessPool:
        return _draw(kind, records)


def _draw(kind: Kind, records: Sequence[Record]) -> Drawn:
    try:
        return Drawn(kind, kind.svg(records))
    except UserError as error:
        return Drawn(kind, "", str(error))
