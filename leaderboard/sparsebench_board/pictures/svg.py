"""A figure as an `<svg>` element that can stand in a page with others, says what it is, and loads nothing."""

from __future__ import annotations

import hashlib
import re
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEFORE = re.compile(r"\A.*?(?=<svg )|<metadata>.*?</metadata>\s*", re.DOTALL)
"""Prologue and document type, which have no place inside a page, and the program's name and version."""
NAMED = re.compile(r'\b(id="|xlink:href="#|url\(#)')


def svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The same figure makes the same text. Ids begin with `name` and a digest of the content, so that none clash."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    content = BEFORE.sub("", buffer.getvalue())
    prefix = f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    return _described(NAMED.sub(rf"\g<1>{prefix}-", content), prefix, title, description)


def _described(content: str, prefix: str, title: str, description: str) -> str:
    head, body = content.split(">", 1)
    told = f'<title id="{prefix}-title">{escape(title)}</title>\n <desc id="{prefix}-desc">{escape(description)}</desc>'
    return f'{head} role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-desc">\n {told}{body}'
