"""sparsebench: a benchmark harness for sparse training. Importing it imports no framework."""

from __future__ import annotations

__version__ = "0.1.0"
