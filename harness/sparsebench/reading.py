"""A record's files as what they should hold; of what they do not, one line that says what to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import from_json

from sparsebench import mistakes
from sparsebench.config import RunConfig
from sparsebench.errors import UserError


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Whatever goes wrong in here makes the record at `path` one that cannot be read.

    Raises:
        UserError: for what a damaged file or other content raises.
    """
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {Path(str(error.filename)).name}"
    except ValidationError as error:
        reason = "; ".join(mistakes.lines(error, RunConfig, mistakes.dotted))
    except KeyError as error:
        reason = f"it lacks {error}"
    except (ValueError, TypeError) as error:
        reason = str(error)
    else:
        return
    raise UserError(
        f"record {path} cannot be read ({' '.join(reason.split())}): remove that folder, then run or copy it again"
    )


def document(name: str, text: bytes | str) -> dict[str, Any]:
    """The object that is the content of a file of that name.

    Raises:
        TypeError, ValueError: it is none.
    """
    try:
        found = from_json(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(found, dict):
        raise TypeError(f"{name} holds no object")
    return cast("dict[str, Any]", found)
