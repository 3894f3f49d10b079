"""The processes that train one run together: each holds the whole network and a share of every batch.

What they must agree on goes through a `Group`: when to keep a checkpoint and whether to end (`anybody`), what a
checkpoint holds (`share`: the first replica reads it for all), and that their masks are still the same (`check`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sparsebench.errors import SharedError, UserError
from sparsebench.settings import flat

Arrays = Mapping[str, NDArray[Any]]


class ReplicasDifferError(SharedError):
    """Replicas hold different masks or weights, so what they train is not one network."""


class Group(Protocol):
    """The processes of a run. Each calls the same methods in the same order; every call waits for all."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0; the first one writes."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def gather(self, content: bytes) -> list[bytes]:
        """What each gave, by rank."""
        ...

    def share(self, content: bytes) -> bytes:
        """What the first one gave; what others give is not looked at."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process, that has nobody to ask."""

    rank: int = 0
    size: int = 1

    def gather(self, content: bytes) -> list[bytes]:
        """Its own."""
        return [content]

    def share(self, content: bytes) -> bytes:
        """Its own."""
        return content


def anybody(group: Group, wants: bool) -> bool:
    """Whether any replica wants it: all get the same answer."""
    return any(group.gather(b"\1" if wants else b"")) if group.size > 1 else wants


def check(group: Group, arrays: Arrays, what: str) -> None:
    """The replicas hold the same arrays to the bit; only digests travel.

    Raises:
        ReplicasDifferError: on every replica; names the first array that differs, and each replica that has another
            one than most (than the first, if none has a majority).
    """
    if group.size == 1:
        return
    ours = b"".join(_digest(array) for array in arrays.values())
    found = group.gather(ours)
    for k, name in enumerate(arrays):
        digests = [each[k * LENGTH : (k + 1) * LENGTH] for each in found]
        if len(set(digests)) > 1:
            raise ReplicasDifferError(
                f"{what} of layer {name!r} differ between replicas: {_told(_odd(digests))} not what the others have; "
                "the run is stopped, its last checkpoint is sound: begin it again"
            )


def by_first(group: Group, work: Callable[[], bytes | None]) -> bytes:
    """What `work` gives the first replica, on all of them; the others wait.

    Raises:
        SharedError: the first one's UserError, on every replica, so that none waits for one that has given up.
    """
    outcome = b""
    if group.rank == 0:
        try:
            outcome = DONE + (work() or b"")
        except UserError as error:
            if group.size == 1:
                raise
            outcome = FAILED + str(error).encode()
    outcome = group.share(outcome)
    if outcome.startswith(FAILED):
        raise SharedError(outcome.removeprefix(FAILED).decode())
    return outcome.removeprefix(DONE)


DONE, FAILED = b"+", b"-"


def same_run(group: Group, identity: Mapping[str, Any]) -> None:
    """All replicas are about to train the same run.

    Raises:
        SharedError: on every replica; names one that was begun with other settings or other data.
    """
    given = [json.loads(each) for each in group.gather(json.dumps(identity, sort_keys=True).encode())]
    for rank, other in enumerate(given):
        if other != given[0]:
            first, there = dict(flat(given[0])), dict(flat(other))
            names = [name for name in sorted({*first, *there}) if first.get(name) != there.get(name)]
            raise SharedError(
                f"replica {rank} was begun for another run than replica 0 (differing: {', '.join(names)}): "
                "begin all with the same command, on the same data"
            )


def in_turn(group: Group, rows: NDArray[np.float64]) -> list[float]:
    """Sums of the columns of rows that replicas have made in turn, replica r those at r, r + size …

    They are added in their order, as one replica would have that had made them all.
    """
    every = [np.frombuffer(each).reshape(-1, rows.shape[1]) for each in group.gather(rows.tobytes())]
    ordered = np.empty((sum(map(len, every)), rows.shape[1]))
    for rank, part in enumerate(every):
        ordered[rank :: group.size] = part
    return [sum(column) for column in ordered.T.tolist()]


LENGTH = hashlib.sha256().digest_size


def _digest(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def _odd(digests: Sequence[bytes]) -> list[int]:
    """The ranks that do not have what most have; of equals, the first one is right."""
    usual = max(digests, key=digests.count)
    return [rank for rank, digest in enumerate(digests) if digest != usual]


def _told(ranks: Sequence[int]) -> str:
    numbers = ", ".join(map(str, ranks))
    return f"replica {numbers} has" if len(ranks) == 1 else f"replicas {numbers} have"


def check_shares(size: int, devices: int) -> None:
    """Refuse a batch of that size that so many devices cannot share equally.

    Raises:
        UserError: they cannot.
    """
    if size % devices:
        raise UserError(
            f"a batch of {size} samples cannot be shared equally by {devices} devices: give a batch size (of each "
            f"accumulated part) that is a multiple of {devices}, or other --devices"
        )


def share_of(size: int, group: Group) -> slice:
    """This replica's part of a batch of that size; all parts are equal, and in order they are the batch.

    Raises:
        UserError: it has no equal parts.
    """
    check_shares(size, group.size)
    part = size // group.size
    return slice(group.rank * part, (group.rank + 1) * part)
