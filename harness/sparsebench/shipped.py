"""Where files that ship with the package lie: beside the modules in a wheel, in the root of a checkout."""

from __future__ import annotations

from pathlib import Path


def roots() -> tuple[Path, ...]:
    """Folders that may hold them, the package's own first."""
    package = Path(__file__).resolve().parent
    return (package, package.parents[1]) if package.parent.name == "harness" else (package,)


def card(method: str) -> str | None:
    """The text of a method's card; None: it has none."""
    return text(f"docs/methods/{method}.md")


def text(name: str) -> str | None:
    """The text of a file by its path under a root; None: it does not ship."""
    paths = (root / name for root in roots())
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), None)
