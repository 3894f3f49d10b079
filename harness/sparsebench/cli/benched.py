"""The hardware benchmark's document, as people read it; within 100 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sparsebench.cli.output import say
from sparsebench.cli.tables import COUNT, TEXT, Column, wrapped
from sparsebench.cli.tables import show as show_table
from sparsebench.hardware.intervals import Ratio

Document = dict[str, Any]
MILLISECONDS = Column(lambda seconds: f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}")
SECONDS = Column("{:.1f}".format)
MEGABYTES = Column(lambda count: f"{count / 1e6:,.0f}")
RATIO = Column("{:g}".format)


def show(document: Document) -> None:
    """Machine, steps, kernels, and what is not there."""
    for line in machine(document):
        say(line)
    _show_steps(document["steps"])
    for name in dict.fromkeys(row["name"] for row in document["products"]):
        _show_product([row for row in document["products"] if row["name"] == name])
    if document["products"]:
        say("speed-up over the best dense engine of the same precision, [95 % interval] of paired ratios; below 1")
        say("it is slower; none shown: the interval holds 1, or there were too few pairs for one")
        say("")
    _show_list("missing:", _grouped(document["missing"]))
    _show_list("cut for lack of time:", document["cut"])


def machine(document: Document) -> list[str]:
    """What was measured, and with what."""
    found, settings = document["machine"], document["settings"]
    clock = f" at {found['cpu_mhz']:,.0f} MHz" if found["cpu_mhz"] else ""
    lines = [f"{found['cpu']}{clock}, {found['threads']} threads, device {found['device']}"]
    if found["device"] == "cuda":
        lines.append(", ".join(f"{key} {value}" for key, value in (found["gpu"] or {"GPU": "unknown"}).items()))
    packages = ", ".join(f"{name} {version}" for name, version in sorted(found["packages"].items()))
    commit = f" ({found['commit']})" if found["commit"] else ""
    lines += wrapped(f"sparsebench {found['sparsebench']}{commit}, Python {found['python']}, {packages}")
    return [*lines, f"{settings['repeats']} repeats, interleaved, warm-up discarded; started {found['started']}"]


def _show_steps(rows: Sequence[Document]) -> None:
    if not rows:
        return
    columns = [("model", TEXT), ("backend", TEXT), ("batch", COUNT), ("px", COUNT), ("dense ms", MILLISECONDS),
               ("masked ms", MILLISECONDS), ("masked / dense", TEXT), ("images/s", COUNT)]  # fmt: skip
    say("")
    say(f"a training step, dense and masked ({rows[0]['sparsity']:g} {rows[0]['distribution']}); images/s masked")
    show_table(columns, [_step(row) for row in rows])
    say("one update of all masks by RigL, its dense gradient included; and what the first dense step, masked step")
    say("and update took longer than later ones: compilation, first use")
    columns = [("model", TEXT), ("backend", TEXT), ("update ms", MILLISECONDS), ("memory MB", MEGABYTES),
               ("first dense s", SECONDS), ("first masked s", SECONDS), ("first update s", SECONDS)]  # fmt: skip
    show_table(columns, [_around(row) for row in rows])
    for what in dict.fromkeys(row["memory"]["of"] for row in rows):
        for line in wrapped(f"memory: {what}"):
            say(line)


def _step(row: Document) -> list[Any]:
    seconds, ratio = row["step_seconds"], Ratio(**row["masked_to_dense"])
    at = (row[key] for key in ("model", "backend", "batch", "size"))
    return [*at, seconds["dense"], seconds["masked"], bounded(ratio, 3), round(row["images_per_second"]["masked"])]


def _around(row: Document) -> list[Any]:
    compiled, update, held = row["compile_seconds"], row["update"], row["memory"]["bytes"]
    held = math.nan if held is None else held
    milliseconds, first = (update["median"], update["compile_seconds"]) if update else ("cut", "cut")
    return [row["model"], row["backend"], milliseconds, held, compiled["dense"], compiled["masked"], first]


def _show_product(rows: Sequence[Document]) -> None:
    """A line for each sparse kernel, a column for each density, the ratio in theory below."""
    densities = list(dict.fromkeys(row["density"] for row in rows))
    shapes = " → ".join(f"{shape[0]} × {shape[1]}" for shape in rows[0]["shapes"])
    say("")
    say(f"{rows[0]['name']}: {shapes}, {rows[0]['rows']} rows")
    kernels = list(dict.fromkeys(row["kernel"] for row in rows if row["pattern"] != "dense"))
    cells = {(row["kernel"], row["density"]): row for row in rows}
    body = [[name, *(_speedup(cells.get((name, density))) for density in densities)] for name in kernels]
    dense = ["best dense", *(_best(rows, density) for density in densities)]
    show_table(
        [("at density", TEXT), *((f"{density:g}", TEXT) for density in densities)],
        [dense, *body],
        ["in theory", *(f"{1 / density:g}×" for density in densities)],
    )


def _best(rows: Sequence[Document], density: float) -> str:
    """The float32 engine with the least median."""
    dense = [row for row in rows if (row["density"], row["pattern"], row["precision"]) == (density, "dense", "float32")]
    if not dense:
        return "none"
    best = min(dense, key=lambda row: row["median"])
    return f"{best['kernel']} {MILLISECONDS.write(best['median'])} ms"


def _speedup(row: Document | None) -> str:
    if row is None:
        return "missing"
    if row["speedup"] is None:
        return "no dense engine"
    ratio = Ratio(**row["speedup"])
    return bounded(ratio, 2) if ratio.clear else "none shown"


def bounded(ratio: Ratio, places: int) -> str:
    """`1.041 [1.035, 1.047]`; without an interval, how many pairs there were."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.{places}f} ({ratio.pairs} pairs)"
    return f"{ratio.median:.{places}f} [{ratio.low:.{places}f}, {ratio.high:.{places}f}]"


def _grouped(missing: Iterable[Document]) -> list[str]:
    """A line for each reason, with all that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for each in missing:
        by_reason.setdefault(each["reason"], []).append(each["what"])
    return [f"{', '.join(what)}: {reason}" for reason, what in by_reason.items()]


def _show_list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    say(title)
    for text in lines:
        for line in wrapped(f"  {text}"):
            say(line)
