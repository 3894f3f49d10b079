"""What a table for people says: its columns, and the lines above and below. The same for terminal and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sparsebench.config import digits
from sparsebench_board import labels, legends
from sparsebench_board.places import together
from sparsebench_board.rows import Row
from sparsebench_board.sheets import Column

METHOD = Column[Row]("method", lambda row: row.method, least=18)
SPARSITY = Column[Row]("sparsity", lambda row: digits(row.sparsity), number=lambda row: row.sparsity)
DISTRIBUTION = Column[Row]("distrib.", lambda row: row.distribution)
LENGTH = Column[Row]("length", lambda row: f"{digits(row.multiplier)}×", number=lambda row: row.multiplier)
BACKEND = Column[Row]("backend", lambda row: row.backend, least=9)
ACCURACY = Column[Row](
    "accuracy %",
    lambda row: reached(row),
    number=lambda row: row.accuracy,
)
TRAINING = Column[Row](
    "train FLOPs", lambda row: labels.ratio(row.training_ratio), number=lambda row: row.training_ratio
)
COSTS = (
    TRAINING,
    Column[Row]("infer FLOPs", lambda row: labels.ratio(row.inference_ratio), number=lambda row: row.inference_ratio),
    Column[Row]("size", lambda row: labels.amount(row.bytes, "B"), right=True, number=lambda row: row.bytes),
    Column[Row](
        "steps/s",
        lambda row: labels.pace(row.steps_per_second),
        right=True,
        number=lambda row: row.steps_per_second,
    ),
)
SEEDS = Column[Row]("seeds", lambda row: seeds(row), least=5)
SETTINGS = Column[Row]("settings", lambda row: labels.pairs(row.settings), least=18)


def columns(rows: Sequence[Row]) -> tuple[Column[Row], ...]:
    """The usual ones; distribution, length and settings only where they tell rows apart."""
    return (*identity(rows), BACKEND, ACCURACY, *comparison(rows), *COSTS, SEEDS, *settings(rows))


def identity(rows: Sequence[Row]) -> tuple[Column[Row], ...]:
    """What was trained, whatever in; distribution and length only where they tell rows apart."""
    distribution = (DISTRIBUTION,) if len(distributions(rows)) > 1 else ()
    length = (LENGTH,) if any(row.multiplier != 1 for row in rows) else ()
    return (METHOD, SPARSITY, *distribution, *length)


def comparison(rows: Sequence[Row]) -> tuple[Column[Row], ...]:
    """Nothing, unless rows are compared with a baseline."""
    methods = baselines(rows)
    if not methods:
        return ()
    return (
        Column[Row](labels.plain(f"against {', '.join(methods)}"), _against, number=lambda row: row.difference),
        Column[Row]("p", lambda row: labels.chance(row.p_holm), number=lambda row: row.p_holm),
        Column[Row]("could show", _could_show, number=lambda row: row.detectable),
    )


def settings(rows: Sequence[Row]) -> tuple[Column[Row], ...]:
    """Those that set rows apart, where any do."""
    return (SETTINGS,) if any(row.settings for row in rows) else ()


def comparison_notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """How to read those; nothing where there are none."""
    methods = ", ".join(baselines(rows))
    return (
        (
            f"against {methods}: mean difference over the same seeds, with its interval",
            f"p: {legends.TEST}, {legends.HOLM} over the rows of the same sparsity and backend",
            legends.DETECTABLE,
        )
        if methods
        else ()
    )


def baselines(rows: Sequence[Row]) -> list[str]:
    """Methods that some rows are compared with."""
    return sorted({row.baseline for row in rows if row.baseline})


def _against(row: Row) -> str:
    return "" if row.difference is None else labels.gain(row.difference, row.difference_spread)


def _could_show(row: Row) -> str:
    return labels.size(row.detectable)


def distributions(rows: Sequence[Row]) -> list[str]:
    """How the sparse ones of some rows share sparsity out over layers."""
    return sorted({row.distribution for row in rows if row.sparsity})


def cell(column: Column, row: Row) -> str:
    """A row's text in a column, safe for a terminal."""
    return labels.plain(column.text(row))


def seeds(row: Row) -> str:
    """`0–2`, or `0–1, no 2` for a row that lacks one, `0–1, 2 diverged`, `0–2 diverged`."""
    parts = (
        labels.spans(row.seeds), f"no {labels.spans(row.missing)}" if row.missing else "",
        f"{labels.spans(row.diverged)} diverged" if row.diverged else "",
    )  # fmt: skip
    return ", ".join(part for part in parts if part)


def reached(row: Row) -> str:
    """`97.21 ± 0.35`; marked where seeds that diverged are not in it, `diverged` where all of them did."""
    if row.accuracy is None:
        return "diverged"
    return labels.accuracy(row.accuracy, row.interval) + (legends.SURVIVORS if row.diverged else "")


def benchmarks(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one model and data set together, in their order."""
    return [list(group) for _, group in groupby(rows, key=lambda row: (row.model, row.dataset))]


def title(rows: Sequence[Row]) -> str:
    """Model and data set of a benchmark's rows."""
    return labels.plain(f"{rows[0].model} on {rows[0].dataset}")


def preamble(rows: Sequence[Row]) -> tuple[str, ...]:
    """Number of trials, hardware and versions: what a result is worth nothing without."""
    runs, lost = (sum(map(len, each)) for each in ((row.run_ids for row in rows), (row.diverged for row in rows)))
    every = labels.spans(sorted({seed for row in rows for seed in (*row.seeds, *row.diverged)}))
    hardware = sorted({place for row in rows for place in row.hardware.split("; ")})
    lines = (
        f"{_count(runs, 'run')}{f' ({lost} diverged)' if lost else ''} in {_count(len(rows), 'cell')}, seeds {every}",
        *hardware,
        ", ".join(f"{name} {version}" for name, version in together(row.versions for row in rows).items()),
    )
    return tuple(map(labels.plain, lines))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """How to read the columns."""
    lines = [
        *sharing(rows),
        *legends.accuracy(rows),
        *comparison_notes(rows),
        f"FLOPs: relative to dense{_absolute(rows)}",
        "steps/s: at the pace of a run's fastest tenth, updates in, compilation and evaluation out; median over seeds",
        *legends.unfinished(rows),
    ]
    return tuple(labels.plain(line) for line in lines)


def sharing(rows: Sequence[Row]) -> list[str]:
    """The one distribution of some rows, which no column tells then."""
    shared = distributions(rows)
    return [f"sparsity: shared out over layers by {only}" for only in shared] if len(shared) == 1 else []


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
