"""Names of files made from names in records, which may be anything: safe on every system, and never two alike."""

from __future__ import annotations

import hashlib
import re

from sparsebench.config import digits
from sparsebench_board.rows import Row

LONGEST = 60


def slug(text: str) -> str:
    """Letters, digits, dots and hyphens; a digest follows where anything else was in the text, or too much of it.

    No two texts have the same one.
    """
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:LONGEST]
    return safe if safe == text else f"{safe}~{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def benchmark(row: Row) -> str:
    """The page of a row's model and data set."""
    return f"{slug(row.model)}_{slug(row.dataset)}"


def cell(row: Row) -> str:
    """The page of a row; a cell's id is a digest of ours."""
    return f"{slug(row.method)}_{digits(row.sparsity)}_{slug(row.backend)}_{row.cell}"
