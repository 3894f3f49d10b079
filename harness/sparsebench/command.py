"""The command line that trains a run again: from its resolved settings back to the options of `sparsebench train`.

What every command starts from (model, data set, method, backend, sparsity, seed, length) is always spelled out, the
rest where it differs from the schema's defaults. Running the command gives a record of the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from sparsebench.config import Recipe, RunConfig, digits
from sparsebench.mistakes import Where, option
from sparsebench.printing import quoted

SPELLED = ("model", "dataset", "method", "backend", "sparsity", "seed")
LENGTHS = ("steps", "epochs", "milestones", "warmup")
"""Those of a record are as long as the run; options are those at multiplier 1."""
WEIGHTS = "WEIGHTS"
"""Stands for the file of weights to start from, which settings know by its SHA-256."""
CHECKPOINT = "CHECKPOINT"
"""Stands for the folder of the checkpoint to go on from, which settings know by its digest."""


def train(config: RunConfig, device: str = "cpu") -> tuple[str, ...] | None:
    """`sparsebench train` and its options as a shell takes them; None where none gives a run of this length.

    The run that a ticket comes from must be among the records, as it was.
    """
    lengths = _lengths(config.recipe, config.multiplier)
    if lengths is None:
        return None
    recipe = config.recipe.model_dump(exclude=set(LENGTHS), exclude_defaults=True)
    others = config.model_dump(exclude={"recipe", "weights", "continued", *SPELLED}, exclude_defaults=True)
    spelled = {name: getattr(config, name) for name in SPELLED}
    return (
        "sparsebench train",
        *_options(spelled | {"recipe": lengths | recipe} | others),
        *([f"--weights {WEIGHTS}"] if config.weights else []),
        *([f"--continue {CHECKPOINT}"] if config.continued else []),
        *([f"--device {quoted(device)}"] if device != "cpu" else []),
    )


def _lengths(recipe: Recipe, multiplier: float) -> dict[str, Any] | None:
    """Lengths that become those of the recipe when they are multiplied; None where no number of steps does."""
    near = round((recipe.steps or 0) / multiplier)
    steps = next((n for n in (near, near - 1, near + 1) if n > 0 and round(multiplier * n) == recipe.steps), None)
    if steps is None:
        return None
    milestones = tuple(each / multiplier for each in recipe.milestones)
    return {"steps": steps, **({"milestones": milestones} if milestones else {}),
            **({"warmup": recipe.warmup / multiplier} if recipe.warmup else {})}  # fmt: skip


def _options(settings: Mapping[str, Any], place: Where = ()) -> Iterator[str]:
    """One string for each setting that is not None; of a list, one for each entry."""
    for name, value in settings.items():
        where = (*place, name)
        if isinstance(value, dict):
            yield from _options(cast("dict[str, Any]", value), where)
        elif isinstance(value, tuple):
            yield from (f"{option(where)} {_written(each)}" for each in cast("tuple[Any, ...]", value))
        elif value is True:
            yield option(where)
        elif value is not None:
            yield f"{option(where)} {_written(value)}"


def _written(value: Any) -> str:
    return digits(value) if isinstance(value, float) else quoted(value)
