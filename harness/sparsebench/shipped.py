"""Where files that ship with the package lie: beside the modules in a wheel, in the root of a checkout."""

from __future__ import annotations

from pathlib import Path


def roots() -> tuple[Path, ...]:
    """Folders that may hold them, the package's own first."""
    package = Path(__file__).resolve().parent
    return (package, package.parents[1]) if package.parent.name == "harness" else (package,)
