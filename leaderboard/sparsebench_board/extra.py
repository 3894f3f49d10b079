"""What the board needs beyond the core is an extra; its absence is told with what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sparsebench.errors import UserError


@contextmanager
def needs_board(package: str) -> Iterator[None]:
    """Around an import of `package`.

    Raises:
        UserError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name or package} is not installed; the leaderboard needs {package}: "
            "pip install 'sparsebench[board]'"
        ) from error
