"""Where results were made, for the first lines of a table: hardware and versions, as records state them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


def hardware(environment: Mapping[str, Any]) -> str:
    """Processor, threads and device: `Xeon, 2 threads, device cpu`."""
    cpu, threads, device = (environment.get(name) or "unknown" for name in ("cpu", "threads", "device"))
    return f"{cpu}, {threads} thread{'' if threads == 1 else 's'}, device {device}"


def versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Name -> version: sparsebench with its commit, Python, packages by name."""
    commit, packages = environment.get("commit"), environment.get("packages") or {}
    own = str(environment.get("sparsebench", "unknown")) + (f" ({commit})" if commit else "")
    python = str(environment.get("python", "unknown"))
    return {"sparsebench": own, "Python": python} | {str(name): str(packages[name]) for name in sorted(packages)}


def together(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """One mapping; where versions differ, all of them: `2.11.0 / 2.12.0`."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for mapping in several:
        for name, version in mapping.items():
            found[name].update(dict.fromkeys(version.split(" / ")))
    return {name: " / ".join(sorted(versions)) for name, versions in found.items()}
