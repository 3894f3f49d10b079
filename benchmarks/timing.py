"""What the benchmarks share beside `sparsebench.hardware`: options, the machine, JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version


def machine() -> dict[str, object]:
    """What a reader needs to place the figures."""
    packages = {name: version(name) for name in ("numpy", "torch", "jax")}
    return {"platform": platform.platform(), "cores": len(os.sched_getaffinity(0)), **packages}


def arguments(description: str | None, repeats: int) -> argparse.Namespace:
    """The options every benchmark here has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats)
    return parser.parse_args()


def show(**results: object) -> None:
    """Results as JSON, machine first."""
    print(json.dumps({"machine": machine(), **results}, indent=1))
