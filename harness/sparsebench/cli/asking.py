"""Asking before something goes for good."""

from __future__ import annotations

import sys

from sparsebench.cli.output import ask
from sparsebench.errors import UserError


def confirmed(question: str, yes: bool) -> bool:
    """Whether somebody at the terminal says yes; `yes` is the answer that was given beforehand, with --yes.

    Raises:
        UserError: there is no terminal to ask at.
    """
    if yes:
        return True
    if not sys.stdin or not sys.stdin.isatty():
        raise UserError(f"there is no terminal to ask at, and nothing was done: --yes goes ahead unasked ({question})")
    ask(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
