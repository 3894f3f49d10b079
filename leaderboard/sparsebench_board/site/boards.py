"""The pages above cells: the index with every board, a page for each model and data set, and published figures."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from sparsebench_board import labels
from sparsebench_board.columns import BACKEND, benchmarks, identity, preamble, title
from sparsebench_board.references import Reference, matching, published
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column, Sheet, lines
from sparsebench_board.site import names, tables
from sparsebench_board.site.drawing import Drawn
from sparsebench_board.site.tables import Table
from sparsebench_board.site.views import Section
from sparsebench_board.views import published as references

T = TypeVar("T")


@dataclass(frozen=True)
class Benchmark:
    """A model and data set: the name of its page, its rows, and what its page shows of them."""

    name: str
    title: str
    rows: Sequence[Row]
    sections: Sequence[Section]

    @property
    def preamble(self) -> tuple[str, ...]:
        """Trials, hardware, versions."""
        return preamble(self.rows)

    @property
    def table(self) -> Table:
        """Its board."""
        return self.sections[0].table

    @property
    def counts(self) -> str:
        """`54 runs in 18 cells`."""
        return self.preamble[0].partition(", ")[0]

    @property
    def more(self) -> str:
        """What its page has beyond the board."""
        others = ", ".join(section.title.lower() for section in self.sections[1:])
        return f"Pictures, {others} of {self.title}" if others else f"Pictures of {self.title}"


@dataclass(frozen=True)
class Picture:
    """A kind of picture of one benchmark: `source` is for a page, `file` the place of the file that holds it."""

    title: str
    description: str
    svg: str
    file: str

    @property
    def source(self) -> str:
        """The picture itself as an address: an image runs nothing and loads nothing."""
        return f"data:image/svg+xml;base64,{b64encode(self.svg.encode()).decode()}"

    @property
    def size(self) -> tuple[float, float] | None:
        """Width and height, so that a page keeps room for it."""
        found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', self.svg)
        return (float(found[1]), float(found[2])) if found else None


def all_benchmarks(rows: Sequence[Row], sections: Sequence[Sequence[Section]]) -> list[Benchmark]:
    """In the order of the board."""
    groups = zip(benchmarks(rows), sections, strict=True)
    return [Benchmark(names.benchmark(group[0]), title(group), group, own) for group, own in groups]


def pictures(benchmark: Benchmark, drawn: Sequence[Drawn]) -> tuple[list[Picture], list[tuple[str, str]]]:
    """Those that there are; and of the others title and reason."""
    shown = [
        Picture(
            each.kind.title, each.kind.description, each.svg,
            f"pictures/{benchmark.name}_{names.slug(each.kind.name)}.svg",
        )
        for each in drawn if each.svg
    ]  # fmt: skip
    return shown, [(each.kind.title, each.reason) for each in drawn if not each.svg]


def counts(rows: Sequence[Row]) -> str:
    """`54 runs in 18 cells, seeds 0–2, of 1 model and data set`."""
    if not rows:
        return "No runs"
    several = len(benchmarks(rows))
    of = f"{several} pairs of model and data set" if several > 1 else "one model and data set"
    return f"{preamble(rows)[0]}, of {of}"


def choices(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Titles of columns that boards have -> what rows have there, where that is more than one."""
    shown = dict.fromkeys(column for group in benchmarks(rows) for column in identity(group))
    return _choices((*shown, BACKEND), rows)


def _choices(columns: Sequence[Column[T]], items: Sequence[T]) -> dict[str, list[str]]:
    found = {column.title: _distinct(column, items) for column in columns}
    return {name: values for name, values in found.items() if len(values) > 1}


def _distinct(column: Column[T], items: Sequence[T]) -> list[str]:
    """The texts of a column, by their numbers or by themselves."""
    texts = {labels.plain(column.text(item)): (column.number(item) if column.number else None) or 0.0 for item in items}
    return sorted(texts, key=lambda text: (texts[text], text))


# ---- published figures ----------------------------------------------------------------------------------------


def beside(rows: Sequence[Row]) -> Table | None:
    """Published figures that belong to these rows."""
    found = matching(rows)
    return _published("published", title(rows), found) if found else None


def everything() -> Iterator[Table]:
    """All that ship with the package, a table for each model and data set."""
    for place, ((model, dataset), group) in enumerate(
        groupby(published(), key=lambda each: (each.model, each.dataset))
    ):
        yield _published(f"published-{place}", f"{model} on {dataset}", list(group))


def _published(name: str, of: str, found: Sequence[Reference]) -> Table:
    body = lines(references.COLUMNS, found, lambda each: each.sparsity)
    return tables.plain(name, Sheet(of, (), references.COLUMNS, body, references.NOTES))


def published_choices() -> dict[str, list[str]]:
    """What to filter those by."""
    return _choices(references.COLUMNS[:4], published())
