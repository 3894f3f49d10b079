"""A suite: a grid of methods, sparsities, backends and seeds over one task, written in TOML and checked as a whole."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from sparsebench import mistakes, plugins
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError, unknown
from sparsebench.mistakes import BackendName, DatasetName, MethodName, ModelName
from sparsebench.settings import Settings, checked
from sparsebench.shipped import roots

T = TypeVar("T")


def _unique(values: Any, parts: ValidatorFunctionWrapHandler) -> tuple[Any, ...]:
    listed = cast("list[Any]", values) if isinstance(values, list) else []
    repeated = sorted({str(value) for value in listed if listed.count(value) > 1})
    whole = [f"listed more than once: {', '.join(repeated)}; list each value once"] if repeated else []
    return checked(values, parts, whole)


def _counted(seeds: Any) -> Any:
    """A number n of seeds stands for 0 … n − 1."""
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        return seeds
    if seeds < 1:
        raise ValueError(f"given {seeds}, allowed is a number of seeds from 1 up, or a list of seeds")
    return tuple(range(seeds))


Several = Annotated[tuple[T, ...], WrapValidator(_unique), Field(min_length=1)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Distribution = Literal["uniform", "er", "erk"]
Multiplier = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


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


class Suite(Settings):
    """A suite file. `method.NAME` overrides `updates` for one method."""

    title: Annotated[str, Field(min_length=1, description="one line that says what the suite compares")]
    task: TaskTable
    recipe: Recipe
    updates: Updates = Updates()
    method: dict[MethodName, Updates] = Field(default_factory=dict[str, Updates])
    grid: Grid

    def updates_of(self, method: str) -> Updates:
        """The common settings of the update clock with this method's own on top."""
        own = self.method.get(method, Updates())
        return self.updates.model_copy(update=own.model_dump(exclude_unset=True))


def configs(suite: Suite) -> list[RunConfig]:
    """Every run of a suite, seeds of a cell next to each other."""
    return [config for method in suite.grid.methods for config in _method_configs(suite, method)]


def _method_configs(suite: Suite, method: str) -> Iterator[RunConfig]:
    grid, updates = suite.grid, suite.updates_of(method)
    axes = (_shares(grid, method), grid.multipliers, grid.backends, grid.seeds)
    for (sparsity, distribution), multiplier, backend, seed in product(*axes):
        yield RunConfig(
            model=suite.task.model, dataset=suite.task.dataset, method=method, backend=backend, seed=seed,
            sparsity=sparsity, distribution=distribution, multiplier=multiplier,
            recipe=suite.recipe, updates=updates,
        )  # fmt: skip


def _shares(grid: Grid, method: str) -> list[tuple[float, Distribution]]:
    if plugins.load("methods", method).dense:
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
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"suite {path} cannot be read as TOML: {error}; mend the file") from error
    return parse(document, path)


def parse(document: Mapping[str, Any], path: Path) -> Suite:
    """A suite from its tables; `path` names it in errors."""
    try:
        return Suite.model_validate(document)
    except ValidationError as error:
        lines = mistakes.lines(error, Suite, mistakes.dotted)
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
