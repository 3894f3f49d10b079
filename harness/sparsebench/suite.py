"""A suite: a grid of methods, sparsities, backends and seeds over one task, written in TOML and checked as a whole."""

from __future__ import annotations

import math
import os
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BeforeValidator, Field, ValidationError, WrapValidator, model_validator
from pydantic import ValidatorFunctionWrapHandler as Parts

from sparsebench import bounded, mistakes, plugins
from sparsebench.asked import PENDING, Asked, Search, asked, controls, from_ticket, searched
from sparsebench.config import Positive, Recipe, Roles, RunConfig, Share, Ticket, Updates
from sparsebench.errors import UserError, unknown
from sparsebench.mistakes import BackendName, DatasetName, MethodName, ModelName
from sparsebench.settings import Settings, checked
from sparsebench.shipped import roots

T = TypeVar("T")


def _unique(values: Any, parts: Parts) -> tuple[Any, ...]:
    listed = cast("list[Any]", values) if isinstance(values, list) else []
    if len(listed) > MOST_SEEDS:
        raise ValueError(f"given {len(listed):,} values, allowed are at most {MOST_SEEDS:,}: make the list shorter")
    repeated = sorted(value for value, times in Counter(map(str, listed)).items() if times > 1)
    whole = [f"listed more than once: {', '.join(repeated)}; list each value once"] if repeated else []
    return checked(values, parts, whole)


def _counted(seeds: Any) -> Any:
    """A number n of seeds stands for 0 … n − 1."""
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        return seeds
    if not 1 <= seeds <= MOST_SEEDS:
        raise ValueError(f"given {seeds}, allowed is a number of seeds from 1 to {MOST_SEEDS:,}, or a list of seeds")
    return tuple(range(seeds))


LARGEST, MOST_SEEDS, MOST_RUNS = 1 << 20, 10_000, 100_000  # bytes of a file; years of work
Several = Annotated[tuple[T, ...], WrapValidator(_unique), Field(min_length=1)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
BASE = "base"
Distribution = Literal["uniform", "er", "erk"]
Anneal = Literal["cosine", "constant", "linear", "inverse-power"]
GrownValue = Literal["zero", "random"]
Multiplier = Annotated[float, Field(ge=1e-6)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Variant(Settings):
    """What differs from the suite's task and recipe; what is not given is theirs."""

    model: Annotated[ModelName | None, Field(description="model name; see `sparsebench list models`")] = None
    dataset: Annotated[DatasetName | None, Field(description="data set; see `sparsebench list datasets`")] = None
    recipe: Annotated[dict[str, Any], Field(description="settings of the recipe")] = Field(
        default_factory=dict[str, Any]
    )


class TicketFrom(Settings):
    """The run that cells take their mask from: as they are in all else, but of this method and variant."""

    method: Annotated[MethodName, Field(description="method that found the mask")] = "lottery"
    variant: Annotated[str | None, Field(description="variant it was found in; none: the cell's own")] = None
    weights: Annotated[Literal["rewound", "redrawn"], Field(description="its first weights, or a new draw")] = "rewound"
    mask: Annotated[Literal["kept", "shuffled"], Field(description="as found, or shuffled within layers")] = "kept"


class UpdateAxes(Settings):
    """Settings of the mask updates to cross; none given: the method's own."""

    delta_t: Annotated[tuple[Positive, ...], Field(description="ΔT")] = ()
    alpha: Annotated[tuple[Share, ...], Field(description="drop fractions of the first update")] = ()
    anneal: Annotated[tuple[Anneal, ...], Field(description="drop fraction over the run")] = ()
    grown_value: Annotated[tuple[GrownValue, ...], Field(description="what grown connections start at")] = ()

    def choices(self) -> list[dict[str, Any]]:
        """Every combination of what is given."""
        given = {name: values for name, values in self.model_dump().items() if values}
        return [dict(zip(given, values, strict=True)) for values in product(*given.values())]


class TaskTable(Settings):
    """What is trained."""

    model: Annotated[ModelName, Field(description="model name; see `sparsebench list models`")]
    dataset: Annotated[DatasetName, Field(description="data set name; see `sparsebench list datasets`")]


class Grid(Settings):
    """Every combination is a cell. Dense methods have no sparsity and appear once."""

    methods: Annotated[Several[MethodName], Field(description="see `sparsebench list methods`")]
    backends: Annotated[Several[BackendName], Field(description="see `sparsebench list backends`")]
    sparsities: Annotated[
        Several[Sparsity], Field(description="shares of prunable weights that are inactive, each in [0, 1)")
    ]
    distributions: Annotated[Several[Distribution], Field(description="how sparsity is shared out over layers")] = (
        "erk",
    )
    multipliers: Annotated[Several[Multiplier], Field(description="training lengths, as multiples")] = (1.0,)
    seeds: Annotated[
        Several[Seed], BeforeValidator(_counted), Field(description="how many seeds, or a list of them")
    ] = (0, 1, 2)
    updates: Annotated[UpdateAxes, Field(description="settings of mask updates to cross")] = UpdateAxes()
    variants: Annotated[Several[str], Field(description="names of variants; base: the suite's own task and recipe")] = (
        BASE,
    )
    tickets: Annotated[tuple[TicketFrom, ...], Field(description="runs to take the mask from")] = ()


class Suite(Settings):
    """A suite file. `method.NAME` overrides `updates` for one method; `also` are further grids.

    `variant.NAME` is another task or recipe for grids to name. With `controls`, every sparse cell brings a dense
    network of its size, a static mask, and its own final mask shuffled.
    """

    title: Annotated[str, Field(min_length=1, description="one line that says what the suite compares")]
    task: TaskTable
    recipe: Recipe
    updates: Updates = Updates()
    method: dict[MethodName, Updates] = Field(default_factory=dict[str, Updates])
    grid: Grid
    also: tuple[Grid, ...] = ()
    variant: dict[str, Variant] = Field(default_factory=dict[str, Variant])
    search: Search = Search()
    policy: Annotated[Roles, Field(description="what happens to special layers")] = Roles()
    controls: Annotated[bool, Field(description="add controls to every sparse cell")] = False

    @property
    def grids(self) -> tuple[Grid, ...]:
        """All of them."""
        return (self.grid, *self.also)

    @model_validator(mode="after")
    def _known_variants(self) -> Suite:
        for name in [name for grid in self.grids for name in _named(grid)]:
            if name != BASE and name not in self.variant:
                raise ValueError(str(unknown("variant", name, (BASE, *self.variant))))
        return self

    @model_validator(mode="after")
    def _sound_variants(self) -> Suite:
        wrong: list[str] = []
        for name in self.variant:
            try:
                _settings(self, name)
            except ValidationError as error:
                own = ("variant", name, "recipe")
                wrong += mistakes.lines(error, Recipe, lambda where, own=own: mistakes.dotted((*own, *where)))
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def updates_of(self, method: str) -> Updates:
        """The common settings of the update clock with this method's own on top."""
        own = self.method.get(method, Updates())
        return self.updates.model_copy(update=own.model_dump(exclude_unset=True))


def runs(suite: Suite) -> list[Asked]:
    """Every run of a suite, seeds of a cell next to each other, each once.

    Raises:
        UserError: there are more than anybody can train, or a search for tickets never ends.
    """
    count = sum(_count(suite, grid, method) for grid in suite.grids for method in grid.methods)
    if count > MOST_RUNS:
        raise UserError(f"the suite has {count:,} runs, allowed are at most {MOST_RUNS:,}: make its lists shorter")
    plain = [run for grid in suite.grids for method in grid.methods for run in _method_runs(suite, grid, method)]
    return list(dict.fromkeys([*plain, *(other for run in plain if suite.controls for other in controls(run))]))


def _count(suite: Suite, grid: Grid, method: str) -> int:
    """Runs of one method with the rounds of its searches, as if none served two cells, before controls."""
    others = math.prod(map(len, _axes(grid, method)[1:]))
    names, own = [ticket.method for ticket in grid.tickets] or [method], 1 + bool(grid.tickets)
    shares = [sparsity for sparsity, _ in _shares(grid, method)]
    return others * sum(own + searched(name, sparsity, suite.search) for name in names for sparsity in shares)


def _axes(grid: Grid, method: str) -> tuple[Sequence[Any], ...]:
    return (
        _shares(grid, method), grid.variants, _choices(grid, method), grid.multipliers, grid.backends, grid.seeds,
    )  # fmt: skip


def _method_runs(suite: Suite, grid: Grid, method: str) -> Iterator[Asked]:
    updates = suite.updates_of(method)
    for (sparsity, distribution), variant, choice, multiplier, backend, seed in product(*_axes(grid, method)):
        config = RunConfig(
            **_settings(suite, variant), method=method, backend=backend, seed=seed,
            sparsity=sparsity, distribution=distribution, multiplier=multiplier,
            updates=updates.model_copy(update=choice), policy=suite.policy,
        )  # fmt: skip
        yield from _with_tickets(suite, grid, config, variant)


def _with_tickets(suite: Suite, grid: Grid, config: RunConfig, variant: str) -> Iterator[Asked]:
    """The run itself, or one from each ticket of the grid; a source is trained at 1x."""
    if not grid.tickets:
        yield asked(config, suite.search)
    for ticket in grid.tickets:
        found = {"method": ticket.method, "multiplier": 1.0, "updates": suite.updates_of(ticket.method)}
        settings = _settings(suite, ticket.variant or variant)
        source = asked(RunConfig.model_validate(config.model_dump() | found | settings), suite.search)
        yield from_ticket(config, source, Ticket(source=PENDING, weights=ticket.weights, mask=ticket.mask))


def _settings(suite: Suite, name: str) -> dict[str, Any]:
    """Model, data set and recipe of a variant."""
    variant = Variant() if name == BASE else suite.variant[name]
    lengths = {"steps", "epochs"}
    recipe = suite.recipe.model_dump(exclude=lengths if lengths & set(variant.recipe) else set())
    return {
        "model": variant.model or suite.task.model,
        "dataset": variant.dataset or suite.task.dataset,
        "recipe": Recipe.model_validate({**recipe, **variant.recipe}),
    }


def _named(grid: Grid) -> list[str]:
    return [*grid.variants, *(ticket.variant for ticket in grid.tickets if ticket.variant)]


def _choices(grid: Grid, method: str) -> list[dict[str, Any]]:
    """Settings of updates that mean something to the method."""
    return grid.updates.choices() if plugins.load("methods", method).updates else [{}]


def _shares(grid: Grid, method: str) -> list[tuple[float, Distribution]]:
    if not plugins.load("methods", method).has_sparsity:
        return [(0.0, "erk")]
    return list(product(grid.sparsities, grid.distributions))


# ---- files ----------------------------------------------------------------------------------------------------


def load(name: str) -> Suite:
    """The suite of that name, or in the file of that path.

    Raises:
        UserError: there is none, it is not TOML, or it has mistakes: one line for each of them.
    """
    path = find(name)
    try:
        document = tomllib.loads(bounded.content(path, LARGEST).decode())
    except (OSError, ValueError, RecursionError) as error:
        told = "its tables or lists are too deep" if isinstance(error, RecursionError) else error
        raise UserError(f"suite {path} cannot be read as TOML: {told}; mend the file") from error
    return parse(document, path)


def parse(document: Mapping[str, Any], path: Path) -> Suite:
    """A suite from its tables; `path` names it in errors."""
    try:
        return Suite.model_validate(document)
    except ValidationError as error:
        lines = [line for each in mistakes.lines(error, Suite, mistakes.dotted) for line in each.splitlines()]
        raise UserError("\n".join(f"suite {path}: {line}" for line in lines)) from error


def find(name: str) -> Path:
    """The file of a suite: a path that ends in .toml, or a name in one of the folders.

    Raises:
        UserError: there is no such file.
    """
    path = Path(name)
    if path.suffix == ".toml" or os.sep in name:
        if not path.is_file():
            raise UserError(f"there is no suite file {name}: give the path of a .toml file, or a name: {_listed()}")
        return path
    known = available()
    if name not in known:
        raise unknown("suite", name, known)
    return known[name]


def _listed() -> str:
    return ", ".join(available()) or "none found"


def available() -> dict[str, Path]:
    """Suites that can be run by name, sorted; the current folder's come before those that are installed."""
    found = {path.stem: path for folder in reversed(_folders()) for path in sorted(folder.glob("*.toml"))}
    return dict(sorted(found.items()))


def _folders() -> Sequence[Path]:
    return [folder / "suites" for folder in (Path(), *roots())]
