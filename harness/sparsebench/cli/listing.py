"""`sparsebench list`: what is installed, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsebench import plugins, suite
from sparsebench.cli.output import say, warn
from sparsebench.errors import UserError

Listed = Literal["methods", "backends", "models", "datasets", "suites"]


def listing(what: Annotated[Listed, Parameter(help="what to list")], /) -> None:
    """List what is installed: name and summary. A broken plugin is a warning here and an error in a run."""
    found = dict(_suites() if what == "suites" else plugins.survey(what))
    if what == "models":
        families = {f"{name}/NAME": summary for name, summary in plugins.survey("families")}
        found = dict(sorted((found | families).items()))
    width = max(map(len, found), default=0)
    for name, summary in found.items():
        if isinstance(summary, UserError):
            warn(str(summary))
        else:
            say(f"{name:<{width}}  {summary}")


def _suites() -> Iterator[tuple[str, str | UserError]]:
    for name in suite.available():
        try:
            yield name, suite.load(name).title
        except UserError as error:
            yield name, error
