"""`sparsebench train`: one run, every setting an option."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import Field, model_validator

from sparsebench import handover, plugins, redoing, states
from sparsebench.aside import sweep
from sparsebench.asked import Search, asked
from sparsebench.cli import again as doing
from sparsebench.cli import board
from sparsebench.cli.devices import several
from sparsebench.cli.live import shown, warning
from sparsebench.cli.options import (
    CHECKPOINT,
    RUNS,
    Continue,
    Data,
    Device,
    Devices,
    Every,
    MLflow,
    Records,
    Weights,
    check_data,
    check_writable,
)
from sparsebench.cli.output import say, warn
from sparsebench.cli.work import Entry, prepare_all, recorded, train_one
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.errors import UserError
from sparsebench.launch import launched, speaks
from sparsebench.mistakes import BackendName, DatasetName, MethodName, ModelName
from sparsebench.progress import Item
from sparsebench.records import Record, read
from sparsebench.terminal import Terminal
from sparsebench.worker import LOG, Event, Finished, Report, Started, Work, share_politely

STEPS = 500
DIVERGED = 1
"""The exit code of a run that did not reach its end."""


GROUPS = (
    Group("Run", sort_key=1),
    Group(f"Recipe ({STEPS} steps unless steps or epochs are given)", sort_key=2),
    Group("Mask updates (default: the method's own)", sort_key=3),
    Group("Where", sort_key=5),
    Group("Rounds of a search for lottery tickets", sort_key=4),
)
SEARCH = Search()


def _installed(group: plugins.Group) -> str:
    families = [f"{name}/NAME" for name in plugins.names("families")] if group == "models" else []
    return f"{', '.join([*plugins.names(group), *families])}; see `sparsebench list {group}`"


class Settings(RunConfig):
    """A run's settings with defaults that do something useful in seconds."""

    model: Annotated[ModelName, Field(description=_installed("models"))] = "lenet-300-100"
    dataset: Annotated[DatasetName, Field(description=_installed("datasets"))] = "digits"
    method: Annotated[MethodName, Field(description=_installed("methods"))] = "rigl"
    backend: Annotated[BackendName, Field(description=_installed("backends"))] = "torch"
    sparsity: Annotated[
        float, Field(ge=0, lt=1, description="share of prunable weights that are inactive, in [0, 1)")
    ] = 0.9
    recipe: Annotated[Recipe, Parameter(group=GROUPS[1])] = Recipe(steps=STEPS)
    updates: Annotated[Updates, Parameter(group=GROUPS[2])] = Updates()
    weights: Annotated[str | None, Parameter(parse=False)] = None
    """The command takes the file, which the digest follows from."""
    continued: Annotated[str | None, Parameter(parse=False)] = None

    @model_validator(mode="before")
    @classmethod
    def _with_length(cls, given: dict[str, Any]) -> dict[str, Any]:
        recipe: dict[str, Any] | None = given.get("recipe")
        if recipe is None or {"steps", "epochs"} & set(recipe):
            return given
        return {**given, "recipe": {**recipe, "steps": STEPS}}


DEFAULTS = Settings()


def train(
    *,
    settings: Annotated[Settings, Parameter(name="*", group=GROUPS[0])] = DEFAULTS,
    search: Annotated[Search, Parameter(group=GROUPS[4])] = SEARCH,
    weights: Annotated[Weights, Parameter(group=GROUPS[0])] = None,
    checkpoint: Annotated[Continue, Parameter(group=GROUPS[0])] = None,
    records: Annotated[Records, Parameter(group=GROUPS[3])] = RUNS,
    data: Annotated[Data, Parameter(group=GROUPS[3])] = None,
    device: Annotated[Device, Parameter(group=GROUPS[3])] = "cpu",
    devices: Annotated[Devices, Parameter(group=GROUPS[3])] = 1,
    every: Annotated[Every, Parameter(group=GROUPS[3])] = CHECKPOINT,
    again: Annotated[doing.Again, Parameter(group=GROUPS[3])] = False,
    yes: Annotated[doing.Yes, Parameter(group=GROUPS[3])] = False,
    mlflow: Annotated[MLflow, Parameter(group=GROUPS[3])] = True,
) -> int:
    """Train one network and print what it reaches and costs; 1 where it diverged: it is recorded, without an end."""
    doing.check(again, yes)
    check_data(data)
    check_writable(records)
    digests = {
        "weights": states.given(weights).digest if weights else None,
        "continued": handover.given(checkpoint).digest if checkpoint else None,
    }
    config = RunConfig.model_validate(settings.model_dump() | digests)
    run, devices = asked(config, search), several(devices)
    if checkpoint and run.source:
        raise UserError(
            f"--continue goes on with one run, and {config.method} is many: give --ticket.source, its round"
        )
    entries = prepare_all([run], data, records, device, weights, devices, checkpoint)
    entry = entries[-1]
    for name in ignored(entry):
        warn(f"--{name} means nothing to {config.method} with {config.recipe.optimizer}: it is left out of the run")
    redone = doing.left(entries, records) if again else []
    if redone and not doing.agreed(redone, records, yes):
        return 1
    redoing.sweep(records)
    before = recorded(records, entry.id) and entry not in redone
    work = partial(
        train_one, data=data, records=records, device=device, weights=weights, every=every, devices=devices,
        checkpoint=checkpoint,
    )  # fmt: skip
    ends = {
        each.id: _train(each, work, records)
        for each in entries
        if launched() or each in redone or not recorded(records, each.id)  # of replicas the first one looks
    }
    if not speaks():
        return 0
    record = read(records / entry.id)
    for line in (*(["recorded before:"] if before else []), *summary(entry, record)):
        say(line)
    if mlflow:
        board.mirror_pending([record], records)
    doing.told(entries, ends, records)
    return DIVERGED if record.diverged else 0


def ignored(entry: Entry) -> list[str]:
    """Settings that were given and that neither the method nor the optimizer reads."""
    given, resolved = entry.asked, entry.prepared.config
    updates = [name for name, value in given.updates if value is not None and getattr(resolved.updates, name) is None]
    recipe = [
        name for name in ("momentum", "nesterov") if getattr(given.recipe, name) != getattr(resolved.recipe, name)
    ]
    return [
        f"{table}.{name.replace('_', '-')}"
        for table, names in (("updates", updates), ("recipe", recipe))
        for name in names
    ]


def _train(entry: Entry, work: Work, records: Path) -> Finished:
    sweep(records)
    share_politely()
    item = Item(entry.id, entry.label, entry.prepared.task.steps)
    console = Terminal(sys.stderr)
    with shown([item], console) if console.is_terminal and speaks() else nullcontext(warning(_unseen)) as show:
        show(entry.id, Started())
        with _logged(entry, records):
            end = Finished(work(entry.asked, Report(partial(show, entry.id))))
        show(entry.id, end)
    return end


@contextmanager
def _logged(entry: Entry, records: Path) -> Generator[None]:
    """What nobody foresaw, a plugin's failure above all, is told in a line; its traceback goes where workers' go.

    Raises:
        UserError: as said.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        log = records / LOG
        with log.open("a") as file:
            traceback.print_exc(file=file)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{entry.label} seed {entry.asked.seed}: {reason} (traceback in {log}): mend what "
            "it names, `sparsebench check` tries a plugin, and the same command tries again"
        ) from error


def _unseen(id: str, event: Event) -> None:
    """A line that says that it is over would come just before the summary."""


def summary(entry: Entry, record: Record) -> list[str]:
    """A finished run in a few lines."""
    config, result = record.config, record.result
    training, inference = (_share(result[name]) for name in ("training_ratio", "inference_ratio"))
    reached = f"none: the run {record.diverged}" if record.diverged else f"{100 * result['accuracy']:.2f} %"
    steps = f"{result['steps']:,} steps" + (" were to be" if record.diverged else "")
    pace = "" if result["steps_per_second"] is None else f", {result['steps_per_second']:,.0f} a second"
    return [
        f"{entry.label} on {config.dataset}, {config.model}, seed {config.seed}",
        f"  test accuracy  {reached}",
        f"  FLOPs          training {training} of dense, inference {inference} of dense",
        f"  speed          {steps}{pace}, {result['seconds']['total']:.1f} s in all",
        f"  record         {record.path}",
    ]


def _share(ratio: float | None) -> str:
    return "an unknown share" if ratio is None else f"{ratio:.3f}"
