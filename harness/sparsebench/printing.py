"""Names come from files of strangers: printed they steer no terminal, and in a command they are words and nothing else.

Every line that is printed goes through `sparsebench.cli.output` or a `sparsebench.terminal.Terminal`, which use
`printable`; every command that is printed for copying is made of `quoted` words.
"""

from __future__ import annotations

import shlex


def printable(text: str) -> str:
    """One line in which whatever would steer a terminal, escape codes and line ends above all, is a � instead."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, which tabs may indent."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def quoted(word: object) -> str:
    """One word of a command, whatever is in it."""
    return shlex.quote(printable(str(word)))


def command(*words: object) -> str:
    """A command of such words, as one would type it."""
    return " ".join(map(quoted, words))
