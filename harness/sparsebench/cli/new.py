"""`sparsebench new`: a plugin's first package, which works before anything is changed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench.cli.output import say
from sparsebench.printing import command
from sparsebench.scaffold import Kind, Plugin, write


def new(
    kind: Annotated[Kind, Parameter(help="what to make")],
    name: Annotated[str, Parameter(help="what it is called in lists, suites and records")],
    /,
    *,
    to: Annotated[Path | None, Parameter(help="folder to make; default: sparsebench-NAME")] = None,
) -> None:
    """Write a package that registers a method, backend or model, with a test file that holds it to the laws."""
    plugin = Plugin(kind, name)
    folder = to or Path(plugin.folder)
    for path in write(plugin, folder):
        say(f"wrote {path}")
    say(f"next: {command('pip', 'install', '-e', folder)}, then {command('sparsebench', 'check', name)}")
