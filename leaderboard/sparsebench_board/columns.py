"""What a table for people says: its columns, and the lines above and below. The same for terminal and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sparsebench.config import digits
from sparsebench_board import labels
from sparsebench_board.places import together
from sparsebench_board.rows import Row


@dataclass(frozen=True)
class Column:
    """A title, a row's text under it, and the side that texts are aligned to.

    Where room is short, texts are broken over lines down to a width of `least`; 0 for those that are never broken.
    """

    title: str
    text: Callable[[Row], str]
    right: bool = False
    least: int = 0


COLUMNS = (
    Column("method", lambda row: row.method, least=18),
    Column("sparsity", lambda row: digits(row.sparsity)),
    Column("backend", lambda row: row.backend, least=9),
    Column("accuracy %", lambda row: labels.percent(row.accuracy, row.accuracy_ci95)),
    Column("train FLOPs", lambda row: labels.ratio(row.training_ratio)),
    Column("infer FLOPs", lambda row: labels.ratio(row.inference_ratio)),
    Column("size", lambda row: labels.amount(row.bytes, "B"), right=True),
    Column("steps/s", lambda row: labels.speed(row.steps_per_second), right=True),
    Column("seeds", lambda row: seeds(row), least=5),
)
DISTRIBUTION = Column("distrib.", lambda row: row.distribution)
LENGTH = Column("length", lambda row: f"{digits(row.multiplier)}×")
SETTINGS = Column("settings", lambda row: labels.pairs(row.settings), least=18)


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The usual ones; distribution, length and settings only where they tell rows apart."""
    distribution = (DISTRIBUTION,) if len(distributions(rows)) > 1 else ()
    length = (LENGTH,) if any(row.multiplier != 1 for row in rows) else ()
    extra = (SETTINGS,) if any(row.settings for row in rows) else ()
    against = tuple(Column(f"against {method}", _against) for method in baselines(rows))
    return (*COLUMNS[:2], *distribution, *length, *COLUMNS[2:4], *against, *COLUMNS[4:], *extra)


def baselines(rows: Sequence[Row]) -> list[str]:
    """Methods that some rows are compared with."""
    return sorted({row.baseline for row in rows if row.baseline})


def _against(row: Row) -> str:
    return "" if row.difference is None else labels.points(row.difference, row.difference_ci95)


def distributions(rows: Sequence[Row]) -> list[str]:
    """How the sparse ones of some rows share sparsity out over layers."""
    return sorted({row.distribution for row in rows if row.sparsity})


def cell(column: Column, row: Row) -> str:
    """A row's text in a column, safe for a terminal."""
    return labels.plain(column.text(row))


def seeds(row: Row) -> str:
    """`0–2`, or `0–1, no 2` for a row that lacks one."""
    return labels.spans(row.seeds) + (f", no {labels.spans(row.missing)}" if row.missing else "")


def benchmarks(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one model and data set together, in their order."""
    return [list(group) for _, group in groupby(rows, key=lambda row: (row.model, row.dataset))]


def title(rows: Sequence[Row]) -> str:
    """Model and data set of a benchmark's rows."""
    return labels.plain(f"{rows[0].model} on {rows[0].dataset}")


def preamble(rows: Sequence[Row]) -> tuple[str, ...]:
    """Number of trials, hardware and versions: what a result is worth nothing without."""
    runs = sum(len(row.seeds) for row in rows)
    every = labels.spans(sorted({seed for row in rows for seed in row.seeds}))
    hardware = sorted({place for row in rows for place in row.hardware.split("; ")})
    lines = (
        f"{_count(runs, 'run')} in {_count(len(rows), 'cell')}, seeds {every}",
        *hardware,
        ", ".join(f"{name} {version}" for name, version in together(row.versions for row in rows).items()),
    )
    return tuple(map(labels.plain, lines))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """How to read the columns."""
    shared = distributions(rows) if len(distributions(rows)) == 1 else []
    lines = [
        *(f"sparsity: shared out over layers by {only}" for only in shared),
        "accuracy: mean ± 95 % Student-t interval over seeds",
        *(f"against {method}: mean difference over the same seeds ± 95 % interval" for method in baselines(rows)),
        f"FLOPs: relative to dense{_absolute(rows)}",
        "steps/s: at the pace of a run's fastest tenth, updates in, compilation and evaluation out; median over seeds",
        *(["rows that lack seeds come last and rank with nothing"] if any(row.missing for row in rows) else []),
    ]
    return tuple(lines)


def _absolute(rows: Sequence[Row]) -> str:
    """What a dense network costs, where it is one number; or why it is none."""
    training = {row.dense_training_flops for row in rows}
    inference = {row.dense_inference_flops for row in rows}
    known = [cost for costs in (training, inference) for cost in costs if cost is not None]
    if not known:
        return "; the network has operations without a count, which result.json names"
    if len(training) == len(inference) == 1:
        to_train, to_infer = (labels.amount(cost, "FLOP") for cost in known)
        return f", which takes {to_train} to train and {to_infer} for a sample"
    return ""
