"""The hardware benchmark's document, as people read it; within 100 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sparsebench.cli.output import say
from sparsebench.cli.tables import COUNT, TEXT, Column, wrapped
from sparsebench.cli.tables import show as show_table
from sparsebench.hardware.floors import floor
from sparsebench.hardware.reading import (
    NONE_SHOWN,
    best_dense,
    bounded,
    processor,
    reasons,
    shapes,
    speedup,
    versions,
)
from sparsebench.hardware.schema import Ceilings, Document, Memory, Product, Step

MILLISECONDS = Column(lambda seconds: f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}")
SECONDS = Column("{:.1f}".format)
MEGABYTES = Column(lambda count: f"{count / 1e6:,.{1 if count < 1e7 else 0}f}")


def show(document: Document) -> None:
    """Machine, steps, kernels, and what is not there."""
    for line in machine(document):
        say(line)
    for precision in dict.fromkeys(step.precision for step in document.steps):
        rows = [step for step in document.steps if step.precision == precision]
        _show_steps(rows, precision, document.machine.ceilings)
    if document.steps:
        _show_around(document.steps)
    for name in dict.fromkeys(row.name for row in document.products):
        _show_product([row for row in document.products if row.name == name])
    if document.products:
        _tell(
            "speed-up over the best dense engine of the same precision, [95 % interval] of paired ratios; below 1 it "
            f"is slower; {NONE_SHOWN}: the interval holds 1, or there were too few pairs for one"
        )
        say("")
    _show_list("missing:", [f"{', '.join(what)}: {reason}" for reason, what in reasons(document.missing).items()])
    _show_list("cut for lack of time:", document.cut)


def _tell(text: str) -> None:
    for line in wrapped(text):
        say(line)


def machine(document: Document) -> list[str]:
    """What was measured, and with what."""
    found = document.machine
    lines = [f"{processor(found)}, device {found.device}"]
    if found.device == "cuda":
        lines.append(", ".join(f"{key} {value}" for key, value in (found.gpu or {"GPU": "unknown"}).items()))
    lines += wrapped(versions(found))
    lines += _limits(found.ceilings)
    return [*lines, f"{document.settings.repeats} repeats, interleaved, warm-up discarded; started {found.started}"]


def _limits(ceilings: Ceilings) -> list[str]:
    """What the device does at most."""
    told = [f"{name} {each.rate / 1e9:,.0f} GFLOP/s ({each.by})" for name, each in ceilings.products.items()]
    if ceilings.memory:
        told.insert(0, f"memory {ceilings.memory.rate / 1e9:,.1f} GB/s ({ceilings.memory.by})")
    return wrapped(f"at most: {', '.join(told)}") if told else []


def _show_steps(rows: Sequence[Step], precision: str, ceilings: Ceilings) -> None:
    columns = [("model", TEXT), ("backend", TEXT), ("batch", COUNT), ("px", COUNT), ("floor", MILLISECONDS),
               ("dense", MILLISECONDS), ("masked", MILLISECONDS), ("masked / dense", TEXT),
               ("images/s", COUNT)]  # fmt: skip
    say("")
    _tell(
        f"milliseconds of a training step in {precision}, dense and masked ({rows[0].sparsity:g} "
        f"{rows[0].distribution}); images/s masked; floor: the operations of a dense step, or its passes over the "
        "parameters, at the rates above"
    )
    show_table(columns, [_step(row, ceilings) for row in rows])
    ways = dict.fromkeys(f"{row.backend} {row.ran}" for row in rows)
    _tell(f"steps were run so: {', '.join(sorted(ways))}")


def _step(row: Step, ceilings: Ceilings) -> list[Any]:
    least, seconds, rate = floor(row, ceilings), row.step_seconds, row.images_per_second.masked
    at = [row.model, row.backend, row.batch, row.size, "unknown" if least is None else least]
    return [*at, seconds.dense, seconds.masked, bounded(row.masked_to_dense.ratio, 3), round(rate)]


def _show_around(rows: Sequence[Step]) -> None:
    columns = [("model", TEXT), ("backend", TEXT), ("precision", TEXT), ("update ms", MILLISECONDS),
               ("first dense s", SECONDS), ("first masked s", SECONDS), ("first update s", SECONDS)]  # fmt: skip
    say("")
    _tell(
        "one update of all masks by RigL, its dense gradient included; and what the first dense step, masked step and "
        "update took longer than later ones: compilation, first use"
    )
    show_table(columns, [_around(row) for row in rows])
    columns = [("model", TEXT), ("backend", TEXT), ("precision", TEXT), ("masks", TEXT), ("dense", MEGABYTES),
               ("masked", MEGABYTES), ("extra", MEGABYTES), ("peak", MEGABYTES)]  # fmt: skip
    whose = " or ".join(dict.fromkeys(row.memory.of for row in rows))
    _tell(
        "megabytes of arrays alive at one time in a dense step and in a masked one, the data set's not; extra: the "
        "difference; masks: their own, by type; peak: the most that a masked network in training has taken of "
        f"{whose}, compilation included"
    )
    show_table(columns, [[row.model, row.backend, row.precision, *_held(row.memory)] for row in rows])


def _around(row: Step) -> list[Any]:
    update = (row.update.median, row.update.compile_seconds) if row.update else ("cut", "cut")
    compiled = row.compile_seconds
    return [row.model, row.backend, row.precision, update[0], compiled.dense, compiled.masked, update[1]]


def _held(memory: Memory) -> list[Any]:
    masks = " + ".join(f"{MEGABYTES.write(count)} {kind}" for kind, count in sorted(memory.masks.items())) or "none"
    sizes = [math.nan if size is None else size for size in (memory.dense, memory.masked, memory.peak)]
    return [masks, sizes[0], sizes[1], sizes[1] - sizes[0], sizes[2]]


def _show_product(rows: Sequence[Product]) -> None:
    """A line for each sparse kernel, a column for each density, the ratio in theory below."""
    densities = list(dict.fromkeys(row.density for row in rows))
    say("")
    say(f"{rows[0].name}: {shapes(rows[0])}, {rows[0].rows} rows")
    kernels = list(dict.fromkeys(row.kernel for row in rows if row.pattern != "dense"))
    cells = {(row.kernel, row.density): row for row in rows}
    body = [[name, *(speedup(cells.get((name, density))) for density in densities)] for name in kernels]
    dense = ["best dense", *(_best(rows, density) for density in densities)]
    show_table(
        [("at density", TEXT), *((f"{density:g}", TEXT) for density in densities)],
        [dense, *body],
        ["in theory", *(f"{1 / density:g}×" for density in densities)],
    )


def _best(rows: Sequence[Product], density: float) -> str:
    best = best_dense(rows, density)
    return f"{best.kernel} {MILLISECONDS.write(best.median)} ms" if best else "none"


def _show_list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    say(title)
    for text in lines:
        _tell(f"  {text}")
