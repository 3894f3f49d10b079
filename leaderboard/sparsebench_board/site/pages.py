"""Templates to pages. Whatever is put into one is text: escaped, and what cannot be printed replaced."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sparsebench_board.extra import needs_board
from sparsebench_board.labels import plain
from sparsebench_board.site.documents import cited
from sparsebench_board.site.tables import parted

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent


def render(template: str, **context: Any) -> str:
    """A page.

    Raises:
        UserError: Jinja2 is not installed.
    """
    return environment().get_template(f"{template}.html.j2").render(context)


@cache
def environment() -> Environment:
    """The templates, with the style, the script and the policy that every page carries.

    Raises:
        UserError: Jinja2 is not installed.
    """
    with needs_board("jinja2"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    style, script = (Markup((FOLDER / name).read_text(encoding="utf-8")) for name in ("site.css", "site.js"))  # noqa: S704 - ours
    found.globals |= {"style": style, "script": script, "policy": policy(script), "cited": cited, "parted": parted}
    return found


def policy(script: str) -> str:
    """Nothing is loaded from anywhere, and no script runs but this one, to the byte."""
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    )


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
