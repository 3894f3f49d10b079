"""Code blocks of a page that are quoted from files: `python tests/quoted.py docs/plugins.md` writes them anew.

A block is preceded by a comment that says where it is from: `<!-- from FILE -->` the whole file, `<!-- from FILE: NAME,
NAME -->` those functions, classes (`Class.method` too) and assignments of a Python file, with what is written above
them.
"""

import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"<!-- from (?P<file>[^\s:]+)(?:: (?P<names>[^>]+?))? -->\n```(?P<language>\w+)\n(?P<code>.*?)```", re.S
)


def blocks(page):
    """(what is quoted, the block as it stands) for every quoted block of a page."""
    return [(told(found), found["code"]) for found in BLOCK.finditer(page)]


def told(found):
    """The text that a block should hold."""
    text = (ROOT / found["file"]).read_text(encoding="utf-8")
    return text if found["names"] is None else picked(text, re.split(r",\s*", found["names"]))


def picked(text, names):
    """Those definitions of a Python file, in the order asked for, apart as ruff has them."""
    parts = [textwrap.dedent(_lines(text, _found(ast.parse(text), name.split(".")))) for name in names]
    return "\n\n".join(part + "\n" for part in parts)


def _found(node, path):
    for child in node.body:
        targets = [target.id for target in getattr(child, "targets", []) if isinstance(target, ast.Name)]
        if path[0] in (getattr(child, "name", None), *targets):
            return child if len(path) == 1 else _found(child, path[1:])
    raise LookupError(f"no {'.'.join(path)} there")


def _lines(text, node):
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def renewed(page):
    """The page with every quoted block as its file has it."""

    def block(found):
        head = found[0].partition("```")[0]
        return f"{head}```{found['language']}\n{told(found)}```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
