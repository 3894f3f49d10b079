"""What the hardware page says: each document of `sparsebench bench`, as tables; one that is damaged says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.hardware import documents, reading
from sparsebench.hardware.floors import floor
from sparsebench.hardware.reading import NONE_SHOWN, bounded, megabytes
from sparsebench.hardware.schema import Ceilings, Document, Machine, Memory, Product, Step
from sparsebench_board import labels
from sparsebench_board.sheets import Column, Sheet, lines
from sparsebench_board.site.tables import Table, plain


@dataclass(frozen=True)
class Measured:
    """One document: which file it is, the machine in lines, and its tables."""

    file: str
    device: str
    machine: tuple[tuple[str, str], ...]
    steps: Table | None
    memory: Table | None
    products: tuple[Table, ...]
    missing: tuple[tuple[str, str], ...]
    cut: tuple[str, ...]


def measured(paths: Sequence[Path]) -> tuple[list[Measured], list[str]]:
    """The documents in some files, the latest first, and a line for each that cannot be read."""
    found: list[tuple[str, Measured]] = []
    broken: list[str] = []
    for path in paths:
        try:
            document = documents.read(path)
        except UserError as error:
            broken.append(str(error).replace(str(path), path.name))
        else:
            found.append((document.machine.started, _measured(path, document, len(found))))
    return [each for _, each in sorted(found, key=lambda pair: pair[0], reverse=True)], broken


def _measured(path: Path, document: Document, place: int) -> Measured:
    names = dict.fromkeys(product.name for product in document.products)
    by_name = [[product for product in document.products if product.name == name] for name in names]
    return Measured(
        path.name,
        document.machine.name,
        tuple(_machine(document.machine)),
        plain(f"steps-{place}", _steps(document.steps, document.machine.ceilings)) if document.steps else None,
        plain(f"memory-{place}", _memory(document.steps)) if document.steps else None,
        tuple(plain(f"kernels-{place}-{k}", _kernels(same)) for k, same in enumerate(by_name)),
        tuple((", ".join(what), reason) for reason, what in reading.reasons(document.missing).items()),
        document.cut,
    )


# ---- the machine ----------------------------------------------------------------------------------------------


def _machine(machine: Machine) -> list[tuple[str, str]]:
    gpu = ", ".join(f"{name} {value}" for name, value in (machine.gpu or {}).items() if name != "name")
    return [
        ("processor", reading.processor(machine)),
        *([("device", f"{machine.name}, {gpu}")] if machine.gpu else []),
        ("versions", reading.versions(machine)),
        ("started", machine.started),
        *_ceilings(machine.ceilings),
    ]


def _ceilings(ceilings: Ceilings) -> list[tuple[str, str]]:
    """The most that was measured of the device itself."""
    found = [("memory", ceilings.memory, "B/s")] if ceilings.memory else []
    found += [(f"products, {precision}", each, "FLOP/s") for precision, each in ceilings.products.items()]
    return [
        (f"ceiling: {what}", f"{labels.amount(each.rate, unit)}, by {each.by}") for what, each, unit in found if each
    ]


WHICH: tuple[Column[Step], ...] = (
    Column("model", lambda step: step.model), Column("backend", lambda step: step.backend),
    Column("precision", lambda step: step.precision),
)  # fmt: skip

# ---- steps ----------------------------------------------------------------------------------------------------


def _steps(steps: Sequence[Step], ceilings: Ceilings) -> Sheet:
    columns: tuple[Column[Step], ...] = (
        *WHICH,
        _number("batch", lambda step: step.batch, "{:,.0f}"),
        _number("px", lambda step: step.size, "{:,.0f}"),
        _number("floor ms", lambda step: _milliseconds(floor(step, ceilings)), "{:,.3g}"),
        _number("dense ms", lambda step: _milliseconds(step.step_seconds.dense), "{:,.3g}"),
        _number("masked ms", lambda step: _milliseconds(step.step_seconds.masked), "{:,.3g}"),
        Column(
            "masked / dense",
            lambda step: bounded(step.masked_to_dense.ratio, 3),
            right=True,
            number=lambda step: step.masked_to_dense.median,
        ),
        _number("images/s", lambda step: step.images_per_second.masked, "{:,.0f}"),
        _number("update ms", lambda step: _milliseconds(step.update and step.update.median), "{:,.3g}"),
        _number("first step s", lambda step: step.compile_seconds.masked, "{:.1f}"),
    )
    sparsities = sorted({f"{step.sparsity:g} by {step.distribution}" for step in steps})
    of = dict.fromkeys(f"{step.model} in {step.backend}: {'; '.join(step.cut)}" for step in steps if step.cut)
    notes = (
        f"masked: sparsity {', '.join(sparsities)}; images/s of masked training",
        "floor: the operations of a dense step, or its passes over the parameters, at the highest rates measured above",
        "masked / dense: the median ratio of paired times, [95 % interval]; 1 means that masks cost nothing",
        "update: all masks once by RigL, the dense gradient included; first step: what it took longer than later ones",
        *(f"cut for lack of time, {each}" for each in of),
    )
    return Sheet("A training step, dense and masked", (), columns, lines(columns, steps), notes)


def _memory(steps: Sequence[Step]) -> Sheet:
    columns: tuple[Column[Step], ...] = (
        *WHICH,
        _number("dense MB", lambda step: megabytes(step.memory.dense), "{:,.1f}"),
        _number("masked MB", lambda step: megabytes(step.memory.masked), "{:,.1f}"),
        Column("of which masks", lambda step: _masks(step.memory)),
        _number("peak MB", lambda step: megabytes(step.memory.peak), "{:,.0f}"),
    )
    notes = (
        "dense, masked: the most bytes of arrays alive within a step, network and optimizer included, data not",
        *dict.fromkeys(f"peak: the most that a masked network in training has taken of {s.memory.of}" for s in steps),
    )
    return Sheet("What training holds in memory", (), columns, lines(columns, steps), notes)


def _masks(memory: Memory) -> str:
    return ", ".join(f"{count / 1e6:,.1f} MB {kind}" for kind, count in sorted(memory.masks.items())) or "none"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _number(title: str, value: Callable[[Step], float | None], form: str) -> Column[Step]:
    def text(step: Step) -> str:
        found = value(step)
        return "–" if found is None else form.format(found)

    return Column(title, text, right=True, number=value)


# ---- kernels --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """A line of the table: a kernel's product at each density, or dense engines', or theory."""

    name: str
    texts: tuple[str, ...]
    numbers: tuple[float | None, ...]


def _kernels(products: Sequence[Product]) -> Sheet:
    """A line for each sparse kernel, a column for each density; the best dense engine above, theory below."""
    densities = sorted({product.density for product in products}, reverse=True)
    found = {(product.kernel, product.precision, product.density): product for product in products}
    sparse = dict.fromkeys((p.kernel, p.precision) for p in products if p.pattern != "dense")
    several = len({precision for _, precision in sparse}) > 1
    body = [
        _kernel(f"{name} {precision}" if several else name, [found.get((name, precision, each)) for each in densities])
        for name, precision in sparse
    ]
    theory = Kernel("in theory", tuple(f"{1 / each:.3g}×" for each in densities), tuple(1 / each for each in densities))
    columns = (
        Column[Kernel]("kernel", lambda kernel: kernel.name),
        *(_density(place, density) for place, density in enumerate(densities)),
    )
    dense = [f"{density:g}: {best}" for density in densities if (best := _best_dense(products, density))]
    notes = (
        "speed-up over the best dense engine of the same precision, [95 % interval] of paired ratios; below 1: slower",
        f"{NONE_SHOWN}: the interval holds 1, or there were too few pairs for one",
        *([f"best dense engine at each density: {', '.join(dense)}"] if dense else []),
    )
    title = f"{products[0].name}: {reading.shapes(products[0])}, {products[0].rows} rows"
    return Sheet(title, (), columns, lines(columns, [*body, theory], lambda kernel: kernel is theory), notes)


def _density(place: int, density: float) -> Column[Kernel]:
    return Column(
        f"density {density:g}",
        lambda kernel: kernel.texts[place],
        right=True,
        number=lambda kernel: kernel.numbers[place],
    )


def _kernel(name: str, products: Sequence[Product | None]) -> Kernel:
    told = [_speedup(product) for product in products]
    return Kernel(name, tuple(text for text, _ in told), tuple(number for _, number in told))


def _speedup(product: Product | None) -> tuple[str, float | None]:
    return reading.speedup(product), product.speedup.median if product and product.speedup else None


def _best_dense(products: Sequence[Product], density: float) -> str:
    best = reading.best_dense(products, density)
    return f"{best.kernel} {1000 * best.median:.3g} ms" if best else ""
