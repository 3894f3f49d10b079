"""A group of replicas that are threads of this process, for tests of what they agree on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import TypeVar

Found = TypeVar("Found")


@dataclass
class Table:
    """Where the threads of one group meet."""

    size: int
    places: list[bytes] = field(default_factory=list)

    def __post_init__(self):
        self.places = [b""] * self.size
        self.barrier = Barrier(self.size, timeout=30)


@dataclass(frozen=True)
class Threaded:
    """One of them."""

    rank: int
    table: Table

    @property
    def size(self) -> int:
        return self.table.size

    def gather(self, content: bytes) -> list[bytes]:
        self.table.places[self.rank] = content
        self.table.barrier.wait()
        found = list(self.table.places)
        self.table.barrier.wait()
        return found

    def share(self, content: bytes) -> bytes:
        return self.gather(content)[0]


def each(size: int, work: Callable[[Threaded], Found]) -> list[Found]:
    """What `work` returns to each of `size` replicas, by rank; the first one's error is raised."""
    table = Table(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(Threaded(rank, table)), range(size)))
