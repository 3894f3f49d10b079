"""`sparsebench run SUITE`: what is missing is trained, in parallel; then the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import redoing, suite
from sparsebench.aside import sweep
from sparsebench.asked import from_weights
from sparsebench.calibrate import Calibrations
from sparsebench.cli import again as doing
from sparsebench.cli import board, dry, lost
from sparsebench.cli import on as who
from sparsebench.cli.devices import several
from sparsebench.cli.live import shown
from sparsebench.cli.network import Format
from sparsebench.cli.only import only as matching
from sparsebench.cli.options import (
    CHECKPOINT,
    RUNS,
    Data,
    Device,
    Devices,
    Every,
    MLflow,
    Records,
    Weights,
    check_data,
    check_writable,
    with_records,
)
from sparsebench.cli.output import complain, note, put, say, warn
from sparsebench.cli.plan import Plan, diverged, forecasts
from sparsebench.cli.together import train_together
from sparsebench.cli.work import Entry, prepare_all, recorded, train_one
from sparsebench.errors import UserError
from sparsebench.executors import Executor
from sparsebench.executors.jobs import Job
from sparsebench.launch import launched, speaks
from sparsebench.progress import Item
from sparsebench.states import given
from sparsebench.terminal import Terminal
from sparsebench.worker import LOG, Event, Failed, Finished, Lost, Work


def run(
    name: Annotated[str, Parameter(name="SUITE", help="name (see `sparsebench list suites`) or path of a .toml file")],
    /,
    *,
    records: Records = RUNS,
    data: Data = None,
    on: who.On = "local",
    slots: who.Slots = None,
    slurm: who.SlurmOptions = (),
    device: Device = "cpu",
    devices: Devices = 1,
    weights: Weights = None,
    every: Every = CHECKPOINT,
    only: Annotated[str | None, Parameter(help="a part of the suite, such as method=rigl,sparsity=0.9")] = None,
    again: doing.Again = False,
    yes: doing.Yes = False,
    mlflow: MLflow = True,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="train nothing: print what it would cost and about how long it would take")
    ] = False,
    format: Annotated[Format, Parameter(help="how to print what a dry run says")] = "table",
) -> int:
    """Train what is missing of a suite, then print its board; 0 where all of it is recorded, 1 where runs failed.

    Every finished run is recorded at once: interrupt when you like, the same command does the rest. A run that
    diverged is recorded, and would diverge again: it is told of, and does not count as failed.
    """
    doing.check(again, yes)
    who.check(on, slurm)
    if format != "table" and not dry_run:
        raise UserError(f"--format {format} is for --dry-run; `sparsebench leaderboard` prints boards in other formats")
    check_data(data)
    check_writable(records)
    asked = suite.runs(suite.load(name))
    if weights:
        asked = [from_weights(each, given(weights).digest) for each in asked]
    devices = several(devices)
    asked = asked if only is None else matching(asked, only)
    here = device if on == "local" else "cpu"  # what other machines have is not asked of this one
    entries = prepare_all(asked, data, records, here, weights, devices)
    ids = [entry.id for entry in entries if entry.listed]
    redone = doing.left(entries, records) if again else []
    to_do = {entry.id for entry in redone} | {entry.id for entry in entries if not recorded(records, entry.id)}
    missing = [entry for entry in entries if entry.id in to_do]
    board.read(records, [id for id in ids if id not in to_do])  # what is damaged is refused before the rest is trained
    if dry_run:
        workers = who.at_a_time(on, slots, device, devices)
        measured = dry.measured(missing, data, here, workers)
        _forecast(entries, missing, measured, workers, records, format)
        return 0
    if redone and not doing.agreed(redone, records, yes):
        return 1
    redoing.sweep(records)
    places = {"data": data, "records": records, "weights": weights}
    if on != "local":
        places = {what: path and path.absolute() for what, path in places.items()}
    work = partial(train_one, **places, device=device, every=every, devices=devices)
    ends = dict[str, Event]()
    if launch := launched():
        train_together(work, entries, records, device, launch)
    elif missing:
        with who.executor(on, slots, device, devices, slurm) as executor:
            ends = _train(executor, work, entries, missing, records)
    if not speaks():
        return 0
    _show(entries, ids, records, mlflow)
    doing.told(entries, ends, records)
    failures = {id: end for id, end in ends.items() if isinstance(end, Failed)}
    _report(failures, entries, records / LOG)
    return 1 if failures else 0


def _forecast(
    entries: Sequence[Entry], missing: Sequence[Entry], measured: Calibrations, workers: int, records: Path,
    format: Format,
) -> None:  # fmt: skip
    """What the runs that are missing would cost."""
    expected, lost_before = forecasts(entries, records), diverged(entries, records)
    dry.told(Plan(entries, missing, expected, measured, min(workers, len(missing)), lost_before), format)


def _show(entries: Sequence[Entry], ids: Sequence[str], records: Path, mlflow: bool) -> None:
    """The board of these runs; then their mirror, which a slow server may hold up."""
    found = board.read(records, ids)
    if found:
        put(board.table(found, "table"))
        if mlflow:
            board.mirror_pending(found, records)
        say(f"next: {with_records('sparsebench ui', records)}")
    if line := lost.told(entries, found):
        warn(line)


def _train(
    executor: Executor, work: Work, entries: Sequence[Entry], missing: Sequence[Entry], records: Path
) -> dict[str, Event]:
    """Run what is missing; returns how each ended, by id."""
    records.mkdir(parents=True, exist_ok=True)
    done = {entry.id for entry in entries} - {entry.id for entry in missing}
    items = [Item(entry.id, entry.label, entry.prepared.task.steps, entry.id in done) for entry in entries]
    jobs = [Job(entry.id, entry.asked.backend, entry.asked, entry.after) for entry in missing]
    say(f"{len(missing)} of {len(entries)} runs to do, {min(executor.slots, len(jobs))} at a time")
    ends: dict[str, Event] = {}
    try:
        with shown(items, Terminal()) as show, closing(executor.run(work, jobs, records / LOG)) as events:
            for job, event in events:
                show(job.id, event)
                if isinstance(event, Lost):
                    note(f"{job.id} waits again, and continues from its last checkpoint: {event.reason}")
                if isinstance(event, Failed | Finished):
                    ends[job.id] = event
    finally:
        sweep(records)  # what workers that were killed were writing
    return ends


def _report(failures: Mapping[str, Failed], entries: Sequence[Entry], log: Path) -> None:
    """One line for each thing that went wrong, with the runs it cost."""
    by_reason: dict[Failed, list[str]] = {}
    for entry in entries:
        if entry.id in failures:
            by_reason.setdefault(failures[entry.id], []).append(f"{entry.label} seed {entry.asked.seed}")
    for failed, runs in by_reason.items():
        others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        trace = f" (traceback in {log})" if failed.logged else ""
        complain(f"{runs[0]}{others}: {failed.reason}{trace}")
