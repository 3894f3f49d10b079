"""`sparsebench run SUITE --dry-run`: what would be trained, what it costs and about how long it takes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sparsebench.calibrate import Calibrations, calibrated
from sparsebench.cli.network import Format
from sparsebench.cli.output import say, warn
from sparsebench.cli.plan import Plan, document
from sparsebench.cli.tables import RIGHT, TEXT, Column, fit, unit
from sparsebench.cli.work import Entry
from sparsebench.config import digits
from sparsebench.terminal import Terminal

Row = Mapping[str, Any]
SETTINGS = Column(justify="left", least=12)


def measured(missing: Sequence[Entry], data: Path | None, device: str, workers: int) -> Calibrations:
    """A few steps, updates and an evaluation of every kind of run that is missing."""
    if not missing:
        return Calibrations()
    console = Terminal(sys.stderr)
    runs = [(entry.asked, entry.prepared) for entry in missing]
    waiting = console.status("measuring how long steps take here") if console.is_terminal else nullcontext()
    with waiting:
        return calibrated(runs, data, device, workers)


def told(plan: Plan, format: Format) -> None:
    """Print the plan; what could not be measured is a warning."""
    found = document(plan)
    for each in found["unmeasured"]:
        warn(f"{each['model']} on {each['dataset']} in {each['backend']} could not be timed: {each['reason']}")
    if format == "json":
        return say(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False))
    for name, rows in _benchmarks(found["cells"]).items():
        say(name)
        _show(rows)
        say("")
    for line in _notes(found):
        say(line)


def _benchmarks(cells: Sequence[Row]) -> dict[str, list[Row]]:
    """Cells of one model and data set together, in their order."""
    found: dict[str, list[Row]] = {}
    for cell in cells:
        found.setdefault(f"{cell['model']} on {cell['dataset']}", []).append(cell)
    return found


def _show(rows: Sequence[Row]) -> None:
    """Distribution, length and settings only where they tell cells apart."""
    several = len({row["distribution"] for row in rows if row["has_sparsity"]}) > 1
    longer = any(row["multiplier"] != 1 for row in rows)
    apart = any(_settings(row) for row in rows)
    columns = [("method", TEXT), ("sparsity", TEXT), *[("distrib.", TEXT)] * several, *[("length", TEXT)] * longer]
    columns += [("backend", TEXT), ("to do", RIGHT), ("steps", RIGHT), ("train\nFLOPs", RIGHT)]
    columns += [("infer\nFLOPs", RIGHT), ("a run", RIGHT), *[("settings", SETTINGS)] * apart]
    fit(columns, [_row(row, several, longer, apart) for row in rows])


def _row(row: Row, several: bool, longer: bool, apart: bool) -> list[str]:
    return [
        row["method"],
        digits(row["sparsity"]),
        *[row["distribution"] if row["has_sparsity"] else "–"] * several,
        *[f"{digits(row['multiplier'])}×"] * longer,
        row["backend"],
        f"{row['to_do']} of {row['to_do'] + row['recorded']}",
        f"{row['steps']:,}",
        f"{_cost(row, 'training')} {_times(row['training_ratio']):>6}".rstrip(),
        _cost(row, "inference"),
        span(row["seconds"]) if row["to_do"] else "–",
        *[_settings(row)] * apart,
    ]


def _settings(row: Row) -> str:
    words = [
        f"{name}={digits(value) if isinstance(value, float) else value}" for name, value in row["settings"].items()
    ]
    return ", ".join([*words, *([] if row["listed"] else ["for a ticket"])])


def _cost(row: Row, what: str) -> str:
    """`≈1.26 G`."""
    flops = row[f"{what}_flops"]
    return "unknown" if flops is None else f"{'' if row['exact'] else '≈'}{_amount(flops)}"


def _amount(flops: float) -> str:
    size, name = unit(flops)
    count = flops / size
    places = 2 if count < 10 else 1 if count < 100 else 0
    return f"{count:.{places}f} {name.removesuffix('FLOPs')}".rstrip()


def _times(ratio: float | None) -> str:
    from sparsebench_board import labels

    return "" if ratio is None else labels.ratio(ratio)


UNITS = ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (48 * 3600.0, 3600.0, "h"), (math.inf, 86400.0, "days"))


def span(seconds: float | None) -> str:
    """`0.35 s`, `12 min`, `3.4 h`: two digits, as befits an estimate."""
    if seconds is None:
        return "unknown"
    size, name = next((size, name) for limit, size, name in UNITS if seconds < limit)
    count = seconds / size
    places = 0 if count >= 10 else 1 if count >= 1 else 2
    return f"{count:.{places}f} {name}"


# ---- below the tables -----------------------------------------------------------------------------------------


def _notes(found: Mapping[str, Any]) -> list[str]:
    """The totals, and how to read the columns."""
    cells = [cell for cell in found["cells"] if cell["to_do"]]
    moved = not all(cell["exact"] for cell in cells)
    tickets = any(cell["source_training_flops"] for cell in cells)
    unknown = any(cell["training_flops"] is None for cell in cells)
    return [
        *_total(found["totals"]),
        "to do: runs, of all of the cell; the others are recorded",
        "train FLOPs: of a run, and relative to dense at 1x; infer FLOPs: of one sample",
        *(["≈: at the distribution of the plan, from which the method moves connections"] if moved else []),
        *(["train FLOPs of a run from a ticket: the search for the ticket included"] if tickets else []),
        *(["unknown: there is no rule for one of the layers"] if unknown else []),
        *_timing(found),
    ]


def _total(totals: Row) -> list[str]:
    runs = totals["to_do"] + totals["recorded"]
    if not totals["to_do"]:
        return [f"0 of {runs} runs to do: all are recorded", *_lost(totals)]
    flops = totals["training_flops"]
    cost = "unknown" if flops is None else f"{'' if totals['exact'] else '≈'}{_amount(flops)}FLOPs"
    wall = totals["wall_seconds"]
    return [
        f"{totals['to_do']} of {runs} runs to do, {totals['workers']} at a time: {cost} of training",
        "expected time: " + (span(wall) if wall is None else f"about {span(wall)}"),
        *_lost(totals),
    ]


def _lost(totals: Row) -> list[str]:
    """Runs that diverged, and those that wait for their tickets."""
    diverged, hopeless = totals["diverged"], totals["hopeless"]
    return [
        *(
            [f"{diverged} of the recorded runs diverged: what is told of them is what they were to cost"]
            * bool(diverged)
        ),
        *(
            [f"{hopeless} of the runs to do start from a ticket of a run that diverged: they will fail"]
            * bool(hopeless)
        ),
    ]


def _timing(found: Mapping[str, Any]) -> list[str]:
    measured = found["calibrations"]
    if not measured:
        return []
    parts = sorted({(each["samples"], each["batch_size"]) for each in measured if each["samples"] < each["batch_size"]})
    return [
        "a run: about, from a few steps, updates and an evaluation, measured just now; what workers",
        "take to start and to compile is in the expected time only",
        *(f"measured with {samples} of {batch} samples a step, and scaled" for samples, batch in parts),
    ]
