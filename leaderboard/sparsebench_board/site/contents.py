"""Every file of the site: where it goes, and what is in it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sparsebench
from sparsebench.environment import commit
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board import labels
from sparsebench_board.cells import Cell, cells
from sparsebench_board.columns import benchmarks as groups
from sparsebench_board.formats import formatted
from sparsebench_board.labels import plain
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.rows import Row, rows
from sparsebench_board.site import again, boards, cell, facts, hardware, names, views
from sparsebench_board.site.boards import Benchmark
from sparsebench_board.site.charts import FEW
from sparsebench_board.site.documents import methods, rules
from sparsebench_board.site.drawing import Drawn, drawing
from sparsebench_board.site.pages import render
from sparsebench_board.site.runs import run
from sparsebench_board.site.views import Shown

Content = str | Path
PAGES = (
    ("index.html", "Board"), ("hardware.html", "Hardware"), ("published.html", "Published"),
    ("methods.html", "Methods"), ("rules.html", "Rules"),
)  # fmt: skip


def contents(
    records: Sequence[Record], folder: Path, baseline: str | None, budgets: Sequence[float], documents: Sequence[Path],
    kinds: Mapping[str, Kind],
) -> Iterator[tuple[str, Content]]:  # fmt: skip
    """Names of files in the site, and the text of each or the file that it is a copy of; `folder` is where it will be.

    Raises:
        UserError: as `write` does.
    """
    found, by_id = rows(records), {each.id: each for each in cells(records)}
    own = [[record for row in group for record in by_id[row.cell].records] for group in groups(found)]
    with drawing(kinds, own) as draw:
        shown = views.shown(found, baseline, budgets)
        benchmarks = boards.all_benchmarks(found, views.sections(shown, found))
        yield "index.html", _index(found, benchmarks)
        yield from _cells(benchmarks, by_id, shown, folder)
        for each in shown:
            for format in ("csv", "md", "json"):
                yield f"tables/{each.name}.{format}", formatted(each.view, format)
        yield from _others(documents, found)
        for place, benchmark in enumerate(benchmarks):
            yield from _benchmark(benchmark, draw(place))


def _page(template: str, here: str, root: str = "", **context: Any) -> str:
    return render(template, here=here, root=root, pages=PAGES, version=_version(), **context)


@cache
def _version() -> str:
    return sparsebench.__version__ + (f" ({own})" if (own := commit()) else "")


def _index(found: Sequence[Row], benchmarks: Sequence[Benchmark]) -> str:
    return _page(
        "index", "index.html", counts=boards.counts(found), boards=benchmarks, choices=boards.choices(found),
        links=_links(found, "cells/"),
    )  # fmt: skip


def _links(found: Sequence[Row], root: str) -> dict[str, str]:
    return {row.cell: f"{root}{names.cell(row)}.html" for row in found}


def _benchmark(benchmark: Benchmark, outcome: Sequence[Drawn]) -> Iterator[tuple[str, Content]]:
    file = f"{benchmark.name}.html"
    drawn, undrawn = boards.pictures(benchmark, outcome)
    for picture in drawn:
        yield picture.file, picture.svg
    yield (
        file,
        _page(
            "benchmark", file, title=benchmark.title, preamble=benchmark.preamble, sections=benchmark.sections,
            choices=boards.choices(benchmark.rows), links=_links(benchmark.rows, "cells/"), pictures=drawn,
            undrawn=undrawn, published=boards.beside(benchmark.rows),
        ),
    )  # fmt: skip


def _cells(
    benchmarks: Sequence[Benchmark], by_id: Mapping[str, Cell], shown: Sequence[Shown], folder: Path
) -> Iterator[tuple[str, Content]]:
    compared = cell.comparisons(shown)
    known = {record.id: record for own in by_id.values() for record in own.records}
    for benchmark in benchmarks:
        for row in benchmark.rows:
            with _told(by_id[row.cell]):
                yield from _cell(benchmark, row, by_id[row.cell], compared.get(row.cell, []), known, folder)


@contextmanager
def _told(own: Cell) -> Generator[None]:
    """What a record lacks, or has of another kind than the harness writes, in a line."""
    try:
        yield
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        paths = ", ".join(str(record.path) for record in own.records)
        raise UserError(
            f"one of these records cannot be shown ({plain(reason)}): {paths}; remove it, then run or copy it again"
        ) from error


def _cell(
    benchmark: Benchmark, row: Row, own: Cell, compared: Sequence[cell.Comparison], known: Mapping[str, Record],
    folder: Path,
) -> Iterator[tuple[str, Content]]:  # fmt: skip
    name = names.cell(row)
    runs = [run(record, name, folder) for record in own.records]
    for file in (file for each in runs for file in each.files if file.copy):
        yield file.copy, file.path
    context = _about(row, own) | {
        "benchmark": benchmark.title, "benchmark_page": f"{benchmark.name}.html", "runs": runs,
        "elsewhere": any(not file.address for each in runs for file in each.files),
        "comparisons": compared, "steps": [again.steps(record, known) for record in own.records],
    }  # fmt: skip
    yield f"cells/{name}.html", _page("cell", "", "../", **context)


def _about(row: Row, own: Cell) -> dict[str, Any]:
    """What a page says of a cell alone."""
    return {
        "row": row, "title": cell.title(row), "own": labels.pairs(row.settings), "card": names.slug(row.method),
        "missing": labels.spans(row.missing), "diverged": cell.unfinished(own),
        "figures": cell.figures(row, own), "charts": cell.charts(own),
        "key": own.seeds if 1 < len(own.seeds) <= FEW else (), "layers": cell.layers(own), "costs": cell.costs(own),
        "made": again.made(row, own), "weights": own.config.weights, "settings": facts.settings(own, row),
        "environment": facts.environment(own),
    }  # fmt: skip


def _others(documents: Sequence[Path], found: Sequence[Row]) -> Iterator[tuple[str, Content]]:
    measured, broken = hardware.measured(documents)
    yield "hardware.html", _page("hardware", "hardware.html", measured=measured, broken=broken)
    yield (
        "published.html",
        _page(
            "published", "published.html", tables=list(boards.everything()), choices=boards.published_choices(),
        ),
    )  # fmt: skip
    yield "rules.html", _page("document", "rules.html", title="Rules", text=rules())
    cards = methods({row.method for row in found})
    yield "methods.html", _page("document", "methods.html", title="Methods", text=cards)
