"""What a view of the board is before it is text: sheets for people, and flat entries for programs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sparsebench_board import labels

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A title, an item's text under it, and the side that texts are aligned to.

    Where room is short, texts are broken over lines down to a width of `least`; 0 for those that are never broken.
    A column of numbers has a `number` to sort by, None where it is unknown.
    """

    title: str
    text: Callable[[T], str]
    right: bool = False
    least: int = 0
    number: Callable[[T], float | None] | None = None

    def of(self, part: Callable[[S], T]) -> Column[S]:
        """The same column for items that have such a one for a part."""
        number = self.number
        of = None if number is None else lambda item: number(part(item))
        return Column(self.title, lambda item: self.text(part(item)), self.right, self.least, of)


@dataclass(frozen=True)
class Line:
    """A line's texts, safe for a terminal; lines of one `section` stand together, dim ones rank with nothing.

    `numbers` are what to sort by, None where there is none; `cell` is the cell that the line tells of, if of one.
    """

    texts: tuple[str, ...]
    section: Hashable = None
    dim: bool = False
    numbers: tuple[float | None, ...] = ()
    cell: str = ""


@dataclass(frozen=True)
class Sheet:
    """One table: a title, lines above it, its columns and lines, and how to read them."""

    title: str
    preamble: tuple[str, ...]
    columns: tuple[Column[Any], ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """Sheets, and the same as entries, each with all of `fields`, which are names."""

    sheets: tuple[Sheet, ...]
    fields: tuple[str, ...]
    entries: tuple[Mapping[str, Any], ...]


def lines(
    columns: Sequence[Column[T]],
    items: Sequence[T],
    section: Callable[[T], Hashable] = lambda item: None,
    dim: Callable[[T], bool] = lambda item: False,
    cell: Callable[[T], str] = lambda item: "",
) -> tuple[Line, ...]:
    """A line for each item."""
    return tuple(
        Line(
            tuple(labels.plain(column.text(item)) for column in columns),
            section(item),
            dim(item),
            tuple(column.number(item) if column.number else None for column in columns),
            cell(item),
        )
        for item in items
    )
