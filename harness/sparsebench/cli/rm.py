"""`sparsebench rm RUN…`: runs that nobody needs any more go, with all that is kept of them; asked first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import holdings, index, removing, suite
from sparsebench.aside import sweep
from sparsebench.cli import board, finding
from sparsebench.cli.again import Yes
from sparsebench.cli.asking import confirmed
from sparsebench.cli.only import matching
from sparsebench.cli.options import RUNS, Data, Records, check_data, check_readable
from sparsebench.cli.output import complain, note, say, warn
from sparsebench.cli.tables import RIGHT, TEXT, fit
from sparsebench.cli.work import prepare_all
from sparsebench.config import RunConfig, digits
from sparsebench.errors import UserError
from sparsebench.holdings import Holding
from sparsebench.sizes import written

CELLS = 20
"""Rows that are shown of what is to go."""


def rm(
    *runs: Annotated[str, Parameter(name="RUN", help="ids of runs, or folders of their records")],
    only: Annotated[str | None, Parameter(help="the runs of such a part instead, as method=rigl,seed=0")] = None,
    name: Annotated[
        str | None, Parameter(name="--suite", help="all that a suite trains instead; with --only, a part")
    ] = None,
    records: Records = RUNS,
    data: Data = None,
    yes: Yes = False,
    mlflow: Annotated[bool, Parameter(help="remove their MLflow runs too")] = True,
) -> int:
    """Remove runs: record, checkpoints, MLflow run. Tells what goes, and asks first."""
    check_data(data)
    check_readable(records)
    chosen = _named(runs, only, name, records) if runs else _matching(only, name, records, data)
    training = [run for run in chosen if run.is_training]
    gone = [run for run in chosen if run not in training]
    if training:
        warn(f"{len(training)} runs are being trained now, and stay: {holdings.listed(training)}")
    if not gone:
        say("nothing to remove")
        return 1 if training else 0
    _show(gone, records)
    if not confirmed(f"Remove {_count(gone)} for good?", yes):
        note("nothing was removed")
        return 1
    failed = _remove(gone, records, mlflow)
    say(f"removed: {_count([run for run in gone if run not in failed])}")
    return 1 if failed or training else 0


# ---- which ----------------------------------------------------------------------------------------------------


def _named(runs: Sequence[str], only: str | None, name: str | None, records: Path) -> list[Holding]:
    if only is not None or name is not None:
        raise UserError("give ids of runs, or --only and --suite: not both")
    return [_one(run, records) for run in dict.fromkeys(runs)]


def _one(run: str, records: Path) -> Holding:
    """A run by its id or its record's folder, finished or not, damaged or not."""
    path = Path(run)
    inside = path.name if path.parent.resolve() == records.resolve() else run
    if found := holdings.one(records, inside):
        return found
    path = finding.folder(run, records)
    raise UserError(f"{path} is not in {records}: give --records {path.parent}")


def _matching(only: str | None, name: str | None, records: Path, data: Path | None) -> list[Holding]:
    if only is None and name is None:
        raise UserError("no runs are given: name their ids, or a part with --only method=rigl,seed=0, or --suite NAME")
    found = list(holdings.every(records))
    if name is not None:
        ids = {entry.id for entry in prepare_all(suite.runs(suite.load(name)), data, records)}
        found = [run for run in found if run.id in ids]
    if only is None or not found:
        return found
    configs = {run: run.config for run in found if run.config}
    matches = matching(list(configs.values()), only)
    return [run for run, config in configs.items() if matches(config)]


# ---- told -----------------------------------------------------------------------------------------------------


def _show(gone: Sequence[Holding], records: Path) -> None:
    """What is to go, cell by cell, and whom it leaves without a source."""
    cells: dict[tuple[str, ...], list[Holding]] = {}
    for run in gone:
        cells.setdefault(_cell(run.config), []).append(run)
    rows = [(*cell, _seeds(runs), _kept(runs), written(sum(run.bytes for run in runs))) for cell, runs in cells.items()]
    columns = [
        ("model on data", TEXT),
        ("method", TEXT),
        ("backend", TEXT),
        ("seeds", TEXT),
        ("", TEXT),
        ("size", RIGHT),
    ]
    fit(columns, rows[:CELLS])
    if len(rows) > CELLS:
        say(f"and {len(rows) - CELLS} more cells")
    if others := holdings.dependents(records, {run.id for run in gone}):
        warn(
            f"{len(others)} more run{'s' * (len(others) > 1)} began with a ticket of these and stay; to do one again, "
            f"its source has to be trained first: {holdings.listed(others)}"
        )


def _cell(config: RunConfig | None) -> tuple[str, str, str]:
    if config is None:
        return "(damaged)", "", ""
    sparsity = f" {digits(config.sparsity)}" if config.sparsity else ""
    return f"{config.model} on {config.dataset}", f"{config.method}{sparsity}", config.backend


def _seeds(runs: Iterable[Holding]) -> str:
    seeds = sorted({run.config.seed for run in runs if run.config})
    gapless = len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}–{seeds[-1]}" if gapless else ", ".join(map(str, seeds))


def _kept(runs: Sequence[Holding]) -> str:
    unfinished = sum(not run.is_finished for run in runs)
    return f"{unfinished} unfinished" if unfinished else ""


def _count(runs: Sequence[Holding]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) != 1)}, {written(sum(run.bytes for run in runs))}"


# ---- done -----------------------------------------------------------------------------------------------------


def _remove(gone: Sequence[Holding], records: Path, mlflow: bool) -> list[Holding]:
    """Remove these runs; returns those that could not be."""
    failed: list[Holding] = []
    noted = mlflow and _noted(gone, records)
    for run in gone:
        try:
            removing.remove(run)
        except removing.BusyError:
            warn(f"{run.id} is being trained now, and stays")
            failed.append(run)
        except UserError as error:
            complain(str(error))
            failed.append(run)
    sweep(records)
    index.forget(records, [run.id for run in gone if run not in failed])
    if mlflow and (noted or _noted(gone, records)):
        board.unmirror(records)
    return failed


def _noted(gone: Sequence[Holding], records: Path) -> bool:
    """Note that MLflow's runs are to go: before anything goes, so that the next mirror does it if this process cannot.

    False where there is no room for a note, as there may be once the runs are gone.
    """
    from sparsebench_board import receipts, tracking

    try:
        receipts.remove([run.id for run in gone], tracking.default_store(records)[0], records)
    except OSError:
        return False
    return True
