"""Parts of hardware documents, as `sparsebench bench` makes them."""

from sparsebench.hardware import documents

MACHINE = {
    "sparsebench": "0", "commit": None, "python": "3.11", "platform": "Linux", "cpu": "Some CPU", "threads": 2,
    "device": "cpu", "packages": {"torch": "2"}, "started": "2026-11-25T14:00:00+00:00", "cpu_mhz": 2600.0,
    "gpu": None,
    "ceilings": {
        "memory": {"rate": 2e10, "by": "torch"},
        "products": {"float32": {"rate": 1e11, "by": "torch"}, "bfloat16": {"rate": 2e11, "by": "torch"}},
    },
}  # fmt: skip
GPU = {"name": "Some GPU 80GB", "driver_version": "580.1", "clocks.sm": "1980 MHz"}
ASKED = {
    "device": "cpu", "workloads": [{"model": "lenet-300-100", "batch": 128, "size": 28}], "backends": ["torch"],
    "precisions": ["float32"], "repeats": 20, "seconds": 300.0,
}  # fmt: skip
RATIO = {"median": 1.02, "low": 1.01, "high": 1.03, "pairs": 3}


def step(**changes):
    row = {
        "model": "lenet-300-100", "batch": 128, "size": 28, "backend": "torch", "precision": "float32",
        "sparsity": 0.9, "distribution": "erk", "steps": 50, "ran": "eager", "flops": 2e8,
        "parameters": 266610, "prunable": 266200,
        "seconds": {"masked": [0.00102, 0.00102, 0.00103], "dense": [0.001, 0.001, 0.001]},
        "step_seconds": {"masked": 0.00102, "dense": 0.001},
        "images_per_second": {"masked": 125490.0, "dense": 128000.0},
        "compile_seconds": {"masked": 0.5, "dense": 0.1},
        "masked_to_dense": RATIO,
        "update": {"seconds": [0.008], "median": 0.008, "compile_seconds": 0.001},
        "memory": {
            "peak": 105_000_000, "of": "the process", "masked": 6_000_000, "dense": 4_700_000,
            "masks": {"bool": 266200, "float32": 1064800},
        },
        "cut": [],
    }  # fmt: skip
    return row | changes


def product(kernel="CSR", density=0.1, pattern="unstructured", **changes):
    row = {
        "name": "lenet fc1", "shapes": [[300, 784]], "rows": 128, "density": density, "kernel": kernel,
        "pattern": pattern, "precision": "float32", "seconds": [0.001], "median": 0.001, "in_a_row": 5,
        "best_dense": "jax jit", "speedup": {"median": 2.0, "low": 1.5, "high": 2.5, "pairs": 20},
        "theory": 1 / density,
    }  # fmt: skip
    return row | changes


def parts(machine=None, **changes):
    """A whole document, to be made or written as JSON."""
    empty = {"schema": 1, "kind": "hardware", "steps": [], "products": [], "missing": [], "cut": [], "failed": False}
    return empty | {"machine": MACHINE | (machine or {}), "settings": ASKED} | changes


def document(machine=None, **changes):
    return documents.made(parts(machine, **changes))
