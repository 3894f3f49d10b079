"""A user's mistake, told in one line: what was given, what is allowed, what to do. Exit code 2, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend; the command line prints it without a traceback."""


class NonFiniteScoreError(UserError):
    """A method's score is NaN or infinite, so no mask follows from it (law 4)."""

    def __init__(self, layer: str, role: str) -> None:
        super().__init__(
            f"layer {layer!r}: the {role} score is not finite; scores must be finite float32: "
            "lower the learning rate or look at this layer's weights and gradients"
        )
        self.layer, self.role = layer, role


def unknown(kind: str, given: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that does not exist: lists the right ones and the closest."""
    names = sorted(allowed)
    begun = [name for name in names if given and name.startswith(given)]
    close = begun or difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return UserError(f"unknown {kind} {given!r}: {hint}allowed: {', '.join(names) or 'none installed'}")


class NotInstalledError(UserError):
    """A package that something of ours needs is not there; installing it mends that."""
