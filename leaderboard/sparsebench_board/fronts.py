"""Pareto fronts: rows that nothing beats, accuracy against one cost at a time, and how much of that is luck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsebench_board.groups import benchmark, grouped, ranked
from sparsebench_board.paired import DECIMALS
from sparsebench_board.resampling import draws
from sparsebench_board.rows import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

COSTS: Mapping[str, Callable[[Row], float | None]] = MappingProxyType(
    {
        "training_flops": lambda row: row.training_flops,
        "inference_flops": lambda row: row.inference_flops,
        "bytes": lambda row: row.bytes,
        "seconds": lambda row: row.seconds,
    }
)
"""What a front may be taken over: less is better."""


@dataclass(frozen=True)
class Standing:
    """For each of `COSTS`, whether a row is on its front and the chance that it is, None for lack of seeds.

    A row whose cost is unknown is not on its front, with no chance to tell.
    """

    row: Row
    on: Mapping[str, bool]
    chance: Mapping[str, float | None]


def front(accuracies: NDArray[Any], costs: NDArray[Any]) -> NDArray[Any]:
    """Which of n rows are on the front; accuracies (…, n), costs (n,), the answer (…, n) bool.

    A row is on it unless another is at least as accurate and costs no more, and is better in one of the two: of rows
    equal in both, all are on it or none. The order of rows means nothing.
    """
    order = np.argsort(costs, kind="stable")
    best = np.maximum.accumulate(accuracies[..., order], axis=-1)
    best = np.concatenate([np.full_like(best[..., :1], -np.inf), best], axis=-1)  # best[k]: of the k cheapest
    cheaper, no_dearer = (np.searchsorted(costs[order], costs, side) for side in ("left", "right"))
    return (accuracies > best[..., cheaper]) & (accuracies >= best[..., no_dearer])


def fronts(rows: Sequence[Row]) -> list[Standing]:
    """The standing of every row among those of its model and data set; rows that rank with nothing are left out."""
    return [standing for group in grouped(ranked(rows), benchmark) for standing in standings(group)]


def standings(rows: Sequence[Row]) -> list[Standing]:
    """The standing of each of some rows among them.

    The chance is the share of resamples (`draws`) of the seeds that all rows have in which the row is on the front of
    mean accuracies. A resample has the same seeds for every row, as the rows have; costs stay what they are.
    """
    resampled = _resampled(rows)
    found = {name: _against(rows, resampled, cost) for name, cost in COSTS.items()}
    return [
        Standing(
            row,
            {name: found[name][place][0] for name in COSTS},
            {name: found[name][place][1] for name in COSTS},
        )
        for place, row in enumerate(rows)
    ]


def _against(
    rows: Sequence[Row], resampled: NDArray[Any] | None, cost: Callable[[Row], float | None]
) -> list[tuple[bool, float | None]]:
    """Whether each row is on the front of one cost, and the chance."""
    known = {place: value for place, row in enumerate(rows) if (value := cost(row)) is not None}
    places, costs = list(known), np.array(list(known.values()), dtype=float)
    found: list[tuple[bool, float | None]] = [(False, None)] * len(rows)
    on = front(np.array([rows[place].height for place in places]), costs).tolist()
    shares = [None] * len(places) if resampled is None else front(resampled[:, places], costs).mean(axis=0).tolist()
    for place, is_on, share in zip(places, on, shares, strict=True):
        found[place] = is_on, share
    return found


def _resampled(rows: Sequence[Row]) -> NDArray[Any] | None:
    """(resamples, rows) mean accuracies; None where rows share fewer than two seeds."""
    common = sorted(set.intersection(*(set(row.seeds) for row in rows))) if rows else []
    if len(common) < 2:
        return None
    table = np.array([[row.accuracies[row.seeds.index(seed)] for seed in common] for row in rows])
    return table[:, draws(len(common))].mean(axis=-1).T.round(DECIMALS)
