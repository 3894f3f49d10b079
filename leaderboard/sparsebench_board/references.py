"""Published accuracies beside measured ones: data of the package, never mixed or ranked with what was measured here.

Only figures whose meaning is certain are in `published.json`; what was left out is listed there, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sparsebench_board.rows import Row

DATA = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Reference:
    """One published figure: accuracy and standard deviation over seeds as fractions, FLOPs relative to dense.

    None is what the source does not give, or gives in contradiction to itself. `distribution` is None for methods that
    share nothing out over layers. `source` says who published it and where.
    """

    model: str
    dataset: str
    method: str
    sparsity: float
    distribution: str | None
    multiplier: float
    accuracy: float
    std: float | None
    training_ratio: float | None
    inference_ratio: float | None
    source: str

    def fits(self, row: Row) -> bool:
        """Whether it is of the same model, data set, method, sparsity, distribution and multiplier."""
        ours = (self.model, self.dataset, self.method, self.sparsity, self.multiplier)
        theirs = (row.model, row.dataset, row.method, row.sparsity, row.multiplier)
        return ours == theirs and self.distribution in (None, row.distribution)


@cache
def published() -> tuple[Reference, ...]:
    """All that ship with the package."""
    document = json.loads(DATA.read_text(encoding="utf-8"))
    return tuple(_reference(entry, document["sources"]) for entry in document["rows"])


def matching(rows: Sequence[Row], references: Iterable[Reference] | None = None) -> list[Reference]:
    """The published figures that fit some row, in their own order."""
    known = published() if references is None else references
    return [each for each in known if any(each.fits(row) for row in rows)]


def _reference(entry: Mapping[str, Any], sources: Mapping[str, str]) -> Reference:
    return Reference(
        model=entry["model"], dataset=entry["dataset"], method=entry["method"], sparsity=float(entry["sparsity"]),
        distribution=entry["distribution"], multiplier=float(entry["multiplier"]),
        accuracy=entry["top1"] / 100, std=None if entry["std"] is None else entry["std"] / 100,
        training_ratio=entry["train_x"], inference_ratio=entry["test_x"],
        source=f"{sources[entry['source']]}: {entry['where']}",
    )  # fmt: skip
