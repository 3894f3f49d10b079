"""Texts in Markdown that ship with the package, as HTML: the rules, and the cards of methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sparsebench import plugins, shipped
from sparsebench_board.extra import needs_board
from sparsebench_board.labels import plain
from sparsebench_board.site.names import slug

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LOWER = {"h1": "h2", "h2": "h3", "h3": "h4"}
NO_CARD = "It has no card here: the package that it comes from describes it."
PAPER, REPOSITORY = r"arXiv (?P<paper>\d{4}\.\d{5})", r"github (?P<repository>[\w.-]+/[\w.-]+)(?= @)"
NAMED = re.compile(rf"{PAPER}|{REPOSITORY}|(?P<of>[\w.-]+/[\w.-]+) issue #(?P<issue>\d+)")
"""How the sources of published figures are named."""
WEB = ("https://", "http://")
REGION = '<div class="scroll" role="region" aria-label="Table" tabindex="0"><table>'
"""Whatever may be wider than a screen can be reached and moved with the keyboard."""


def rules() -> Markup:
    """The rules of the leaderboard."""
    return html(shipped.text("leaderboard/RULES.md") or "")


def methods(names: Iterable[str]) -> Markup:
    """The cards of some methods, one below the other, each under an id of its own."""
    names = sorted(names)
    links = [Markup("<li><a href='#{}'>{}</a></li>").format(slug(name), plain(name)) for name in names]
    contents = Markup("<nav class='contents' aria-label='Methods'><ul>{}</ul></nav>").format(Markup().join(links))
    parts = [Markup("<section id='{}'>{}</section>").format(slug(name), _card(name)) for name in names]
    return Markup("<h1>Methods</h1>") + contents + Markup().join(parts)


def _card(name: str) -> Markup:
    """Of a method that is installed: other names, which records may bring, are no names of files."""
    text = shipped.card(name) if name in plugins.names("methods") else None
    return html(text, lower=True) if text else Markup("<h2>{}</h2><p>{}</p>").format(plain(name), NO_CARD)


def cited(source: str) -> Markup:
    """A source, with a link where its name says where it is."""
    return Markup(NAMED.sub(_link, str(escape(source))))  # noqa: S704 - escaped; names need no escaping


def _link(name: re.Match[str]) -> str:
    if name["paper"]:
        address = f"https://arxiv.org/abs/{name['paper']}"
    else:
        address = "https://github.com/" + (name["repository"] or f"{name['of']}/issues/{name['issue']}")
    return f'<a href="{address}">{name[0]}</a>'


def html(text: str, lower: bool = False) -> Markup:
    """Our Markdown as HTML, headings one level `lower`; links to files of the project, which are not here, are text."""
    reader = _reader()
    tokens = [_kept(token, lower) for token in reader.parse(text)]
    page = reader.renderer.render(tokens, reader.options, {})
    page = page.replace("<pre>", '<pre tabindex="0">').replace("<table>", REGION).replace("</table>", "</table></div>")
    return Markup(page)  # noqa: S704 - made from our own texts, with HTML in them switched off


@cache
def _reader() -> MarkdownIt:
    with needs_board("markdown-it-py"):
        from markdown_it import MarkdownIt
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _kept(token: Token, lower: bool) -> Token:
    if lower:
        token.tag = LOWER.get(token.tag, token.tag)
    if token.children:
        token.children = list(_without_local_links(token.children))
    return token


def _without_local_links(tokens: Sequence[Token]) -> Iterator[Token]:
    """Links do not nest: each that closes belongs to the one that opened last."""
    local = False
    for token in tokens:
        if token.type == "link_open":
            local = not str(token.attrGet("href")).startswith(WEB)
        if not (local and token.type in ("link_open", "link_close")):
            yield token
