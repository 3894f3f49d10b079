"""What a document says in words, on a screen and on a page alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sparsebench.hardware.intervals import Ratio
from sparsebench.hardware.schema import Absent, Machine, Product

NONE_SHOWN = "none shown"


def processor(machine: Machine) -> str:
    """Its name, clock and threads."""
    clock = f" at {machine.cpu_mhz:,.0f} MHz" if machine.cpu_mhz else ""
    return f"{machine.cpu}{clock}, {machine.threads} threads"


def versions(machine: Machine) -> str:
    """Of this project, of Python and of packages."""
    commit = f" ({machine.commit})" if machine.commit else ""
    packages = ", ".join(f"{name} {version}" for name, version in sorted(machine.packages.items()))
    return f"sparsebench {machine.sparsebench}{commit}, Python {machine.python}, {packages}"


def bounded(ratio: Ratio, places: int) -> str:
    """`1.041 [1.035, 1.047]`; without an interval, how many pairs there were."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.{places}f} ({ratio.pairs} pairs)"
    return f"{ratio.median:.{places}f} [{ratio.low:.{places}f}, {ratio.high:.{places}f}]"


def speedup(product: Product | None) -> str:
    """Of a sparse kernel over the best dense engine, or why there is none to tell."""
    if product is None:
        return "missing"
    if product.speedup is None:
        return "no dense engine"
    return bounded(product.speedup.ratio, 2) if product.speedup.ratio.clear else NONE_SHOWN


def best_dense(products: Iterable[Product], density: float) -> Product | None:
    """The float32 engine with the least median."""
    dense = [each for each in products if (each.density, each.pattern, each.precision) == (density, "dense", "float32")]
    return min(dense, key=lambda product: product.median, default=None)


def shapes(product: Product) -> str:
    """`300 × 784 → 100 × 300`."""
    return " → ".join(f"{out} × {into}" for out, into in product.shapes)


def reasons(missing: Iterable[Absent]) -> Mapping[str, Sequence[str]]:
    """Reason -> all that could not be measured for it."""
    found: dict[str, list[str]] = {}
    for each in missing:
        found.setdefault(each.reason, []).append(each.what)
    return found


def megabytes(count: int | None) -> float | None:
    """Of bytes, where they are known."""
    return None if count is None else count / 1e6
