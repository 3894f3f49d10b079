"""`sparsebench show method NAME`: the method's card, or without one, what its value says of itself."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from rich.markdown import Markdown

from sparsebench import plugins, shipped
from sparsebench.cli.output import put, say
from sparsebench.method import Method
from sparsebench.terminal import Terminal

SETTINGS = ("delta_t", "alpha", "begin", "end", "anneal")


def show(
    what: Annotated[Literal["method"], Parameter(help="what to show")],
    name: Annotated[str, Parameter(help="its name; see `sparsebench list methods`")],
    /,
) -> None:
    """Print a method's card: rendered on a terminal, the Markdown itself elsewhere."""
    method = plugins.load("methods", name)
    text = shipped.card(name) or described(method)
    console = Terminal()
    if not console.is_terminal:
        return say(text.rstrip())
    with console.capture() as rendered:
        console.print(Markdown(text, hyperlinks=False))
    put(rendered.get().rstrip())


def described(method: Method) -> str:
    """What a method says of itself, as Markdown."""
    rows = [f"| {name} | {getattr(method, name)} | {_read(method, name)} |" for name in SETTINGS]
    claims = [f"- {law.value}" for law in sorted(method.claims, key=lambda law: law.name)]
    return "\n".join(
        (
            f"# {method.name}", "", method.summary, "", "## Source", "", method.source or "none given", "",
            "## Defaults", "", "| setting | value | read |", "|---|---|---|", *rows, "",
            "## Claims", "", *(claims or ["none"]),
        )
    )  # fmt: skip


def _read(method: Method, setting: str) -> str:
    return "yes" if method.updates and setting not in method.unread else "no"
