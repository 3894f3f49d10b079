"""Sparse kernels against the best dense engine, on layers that are matrix products: is sparsity ever faster here?

Every kernel of every backend takes its turn in one process, on the same shapes. Results are compared with NumPy's in
float64 before anything is timed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsebench import plugins
from sparsebench.hardware import patterns
from sparsebench.hardware.intervals import FEWEST, ratio
from sparsebench.hardware.kernels import Array, Bound, Kernel, Linears, Missing, Precision
from sparsebench.hardware.patterns import Shape
from sparsebench.hardware.timing import Work, in_a_row, interleaved, repeated
from sparsebench.layers import Layer

HALF = 0.5
"""The density of two of four."""
DENSITIES = (0.05, 0.1, 0.2, HALF)
OBSERVATION = 0.005
"""Seconds of one observation, at least: a single product may take microseconds."""
TOLERANCE: Mapping[Precision, float] = {"float32": 1e-5, "float16": 4e-3}
"""Of Σ |w|·|x| + |b|, for each layer: rounding in another order stays well below, a wrong entry does not."""

NONE = "the backend names none"

Document = dict[str, Any]


@dataclass(frozen=True)
class Product:
    """Linear layers of these (out, in) shapes, applied to `rows` rows."""

    name: str
    shapes: tuple[Shape, ...]
    rows: int


def of_layer(model: str, layer: Layer, batch: int) -> Product:
    """A linear layer, or a 1 × 1 convolution: one row for each place of its output in each sample."""
    return Product(f"{model} {layer.name}", ((layer.shape[0], layer.shape[1]),), layer.positions * batch)


@dataclass(frozen=True, eq=False)
class Case:
    """A kernel ready to be timed on layers whose zeros are its pattern's."""

    kernel: Kernel
    layers: Linears
    bound: Bound

    @property
    def name(self) -> str:
        """The kernel's, with the size of the blocks."""
        side = self.layers.block
        return f"{self.kernel.name} {side}×{side}" if self.kernel.pattern == "block" else self.kernel.name

    @property
    def density(self) -> float:
        """The share of weights that are there."""
        weights = self.layers.weights
        return sum(np.count_nonzero(weight) for weight in weights) / sum(weight.size for weight in weights)


def measure(
    products: Sequence[Product], backends: Sequence[str], device: str, repeats: int, seconds: float
) -> Document:
    """Every kernel on every product at every density, in about `seconds`; what there was no time for is listed."""
    began = time.perf_counter()
    parts = {name: plugins.load("backends", name).hardware(device) for name in backends}
    kernels = [kernel for part in parts.values() for kernel in part.kernels]
    missing = [asdict(each) for part in parts.values() for each in part.missing]
    missing += [asdict(Missing(f"{name} kernels", NONE)) for name, part in parts.items() if not part.kernels]
    rows: list[Document] = []
    cut: list[str] = []
    asked = [(product, density) for product in products for density in DENSITIES]
    for i, (product, density) in enumerate(asked):
        if time.perf_counter() > began + seconds:
            cut.append(f"{product.name} at {density:g}")
            continue
        cases, lacking = bind(product, density, kernels)
        missing += [asdict(each) for each in lacking]
        rows += compare(product, density, cases, repeats, began + seconds * (i + 1) / len(asked))
    return {"products": rows, "missing": missing, "cut": cut}


def bind(product: Product, density: float, kernels: Sequence[Kernel]) -> tuple[list[Case], list[Missing]]:
    """Kernels that compute this product, each checked, and those that do not with the reason."""
    cases: list[Case] = []
    missing: list[Missing] = []
    inputs = np.random.default_rng(1).standard_normal((product.rows, product.shapes[0][1]), np.float32)
    for kernel in kernels:
        if kernel.pattern == "2:4" and density != HALF:
            continue
        layers = patterns.linears(product.shapes, kernel.pattern, density)
        try:
            case = Case(kernel, layers, kernel.bind(layers, inputs))
            objection = wrong(case, inputs)
        except (RuntimeError, ValueError) as error:
            objection = _first_line(error)
        else:
            if not objection:
                cases.append(case)
                continue
        missing.append(Missing(f"{kernel.name}: {product.name} at {density:g}", objection))
    return cases, missing


def wrong(case: Case, inputs: Array) -> str:
    """How far the kernel's result is outside of what rounding allows; empty: it is not."""
    want, scale = reference(case.layers, inputs)
    excess = np.abs(case.bound.result(case.bound.run()) - want) / (
        TOLERANCE[case.kernel.precision] * len(case.layers.weights) * scale
    )
    return "" if np.all(excess <= 1) else f"its result is wrong: {float(np.max(excess)):.3g} times the rounding allowed"


def reference(layers: Linears, inputs: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The result, and Σ |w|·|x| + |b| through all layers, which rounding errors are relative to; (rows, out)."""
    hidden = inputs.astype(np.float64)
    scale = np.abs(hidden)
    last = len(layers.weights) - 1
    for i, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        hidden, scale = hidden @ weight.T.astype(np.float64) + bias, scale @ np.abs(weight.T) + np.abs(bias)
        hidden = np.maximum(hidden, 0) if i < last else hidden
    return hidden, scale


def compare(product: Product, density: float, cases: Sequence[Case], repeats: int, until: float) -> Iterator[Document]:
    """A row for each kernel; the yardstick is the dense engine of the same precision with the least median."""
    if not cases:
        return
    works: dict[str, Work] = {case.name: case.bound.run for case in cases}
    counts = {name: in_a_row(work, OBSERVATION) for name, work in works.items()}
    several = {name: repeated(work, counts[name]) for name, work in works.items()}
    done = interleaved(several, repeats, warmup=1, until=until, least=FEWEST)
    seconds = {name: values / counts[name] for name, values in done.items()}
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    for case in cases:
        best = _best_dense(cases, case, medians)
        yield {
            **asdict(product), "density": density, "kernel": case.name, "pattern": case.kernel.pattern,
            "precision": case.kernel.precision, "seconds": seconds[case.name].tolist(),
            "median": medians[case.name], "in_a_row": counts[case.name], "best_dense": best,
            "speedup": asdict(ratio(seconds[best], seconds[case.name])) if best else None,
            "theory": 1 / case.density,
        }  # fmt: skip


def _best_dense(cases: Sequence[Case], rival: Case, medians: Mapping[str, float]) -> str | None:
    engines = [
        case.name
        for case in cases
        if case.kernel.pattern == "dense" and case.kernel.precision == rival.kernel.precision
    ]
    return min(engines, key=lambda name: medians[name], default=None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
