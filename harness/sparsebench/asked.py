"""Runs as they are asked for, before anything is resolved: settings, and the run that a ticket is to come from.

A lottery ticket is searched for in rounds, each a run that starts from the one before; asking for the ticket asks for
its rounds. Rounds do not depend on the sparsity in the end, so that one search serves several.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sparsebench import plugins
from sparsebench.config import RunConfig, Ticket, Updates
from sparsebench.errors import UserError
from sparsebench.settings import Settings

PENDING = "pending"
"""Stands for the id of a source that has none yet."""


class Search(Settings):
    """How lottery tickets are searched for. Source: Frankle and Carbin, ICLR 2019; Frankle et al., ICML 2020."""

    remove: Annotated[
        float, Field(ge=0.02, lt=1, description="share of the remaining connections that a round removes")
    ] = 0.2
    rewind: Annotated[int, Field(ge=0, lt=2**63, description="step whose weights every round starts from")] = 0


@dataclass(frozen=True)
class Asked:
    """A run, and the one whose mask it starts from; its ticket then says `PENDING` for a source."""

    config: RunConfig
    source: Asked | None = None


def asked(config: RunConfig, search: Search) -> Asked:
    """A run as it is, or after the rounds that its method needs."""
    method = plugins.load("methods", config.method)
    if not method.from_ticket or config.ticket is not None:
        return Asked(config)
    dense = {"method": "dense", "sparsity": 0.0, "updates": Updates(), "rewind": search.rewind}
    last = Asked(config.model_copy(update=dense))
    for sparsity in levels(search.remove, config.sparsity):
        last = from_ticket(config.model_copy(update={"sparsity": sparsity}), last, Ticket(source=PENDING))
    return last


MOST = 250
"""Rounds of a search: 2 % a round down to 1 % of the connections take 228. Each asks for the one before."""


def searched(method: str, sparsity: float, search: Search) -> int:
    """Runs, about, that come before one of this method; beyond `MOST` rounds it is `MOST`, which `levels` refuses."""
    if not plugins.load("methods", method).from_ticket:
        return 0
    return 1 + min(MOST, math.ceil(math.log1p(-sparsity) / math.log1p(-search.remove)))


def levels(remove: float, sparsity: float) -> Iterator[float]:
    """1 − (1 − remove)^r for r = 1, 2 …, to six digits, while it is below the sparsity, which comes last.

    Raises:
        UserError: there are more than `MOST` of them.
    """
    if math.log1p(-sparsity) < MOST * math.log1p(-remove):
        raise UserError(
            f"search.remove {remove:g} takes more than {MOST:,} rounds to reach sparsity {sparsity:g}: let a round "
            "remove a larger share, such as 0.2"
        )
    rounds = itertools.count(1)
    yield from itertools.takewhile(lambda reached: reached < sparsity, (_after(remove, r) for r in rounds))
    yield sparsity


def _after(remove: float, rounds: int) -> float:
    return round(1 - (1 - remove) ** rounds, 6)


def from_ticket(config: RunConfig, source: Asked, ticket: Ticket) -> Asked:
    """A run that starts from the mask of another."""
    return Asked(config.model_copy(update={"ticket": ticket}), source)


def from_weights(run: Asked, digest: str) -> Asked:
    """The run, and those that its ticket comes from, started from the weights of that SHA-256."""
    config = run.config.model_copy(update={"weights": digest})
    return Asked(config, run.source and from_weights(run.source, digest))


def controls(run: Asked) -> Sequence[Asked]:
    """What a sparse run must beat: a dense network of its size, a random mask, and its own mask shuffled."""
    plain = run.config.model_copy(update={"ticket": None, "updates": Updates()})
    method = plugins.load("methods", plain.method)
    if method.dense or method.name == "static":
        return ()
    others = [Asked(plain.model_copy(update={"method": name})) for name in ("small-dense", "static")]
    return (*others, from_ticket(others[1].config, run, Ticket(source=PENDING, mask="shuffled")))
