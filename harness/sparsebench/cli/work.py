"""From settings to runs that can start, and the work of a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sparsebench import checkpoints, launching, redoing
from sparsebench.asked import Asked
from sparsebench.cli.devices import absent, check_devices, starting
from sparsebench.cli.options import CHECKPOINT, RUNS
from sparsebench.config import RunConfig, digits
from sparsebench.errors import UserError
from sparsebench.launch import Launch, launched, speaks
from sparsebench.mistakes import refuse, told
from sparsebench.outcome import Outcome
from sparsebench.prepare import Prepared, prepare
from sparsebench.records import is_there, read
from sparsebench.sources import Source, planned
from sparsebench.sources import recorded as recorded_source
from sparsebench.worker import LOG, Report


@dataclass(frozen=True, eq=False)
class Entry:
    """A run as it was asked for, its ticket's source named, and what it resolves to.

    It is `listed` if it was asked for by itself, and not only for another run's ticket.
    """

    asked: RunConfig
    prepared: Prepared
    listed: bool = True

    @property
    def after(self) -> str:
        """The id of the run that must be over before this one can start; empty: none."""
        return self.asked.ticket.source if self.asked.ticket else ""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.prepared.id

    @property
    def label(self) -> str:
        """The cell it belongs to, in a few words: `rigl 0.9 torch`."""
        config = self.prepared.config
        parts = [config.method]
        if self.prepared.method.has_sparsity:
            parts.append(digits(config.sparsity))
        if config.distribution != RunConfig.model_fields["distribution"].default:
            parts.append(config.distribution)
        if config.multiplier != 1:
            parts.append(f"{digits(config.multiplier)}x")
        if config.ticket and not self.prepared.method.from_ticket:
            changes = [word for word in (config.ticket.weights, config.ticket.mask) if word in ("redrawn", "shuffled")]
            parts.append(" ".join(["from a ticket", *changes]))
        if config.weights:
            parts.append("from weights")
        if self.prepared.handover:
            parts.append(f"from {self.prepared.handover.config.backend} to")
        return " ".join((*parts, config.backend))


def prepare_all(
    runs: Iterable[Asked], data: Path | None, records: Path = RUNS, device: str = "cpu", weights: Path | None = None,
    devices: int = 1, checkpoint: Path | None = None,
) -> list[Entry]:  # fmt: skip
    """Resolve all runs, each after the one its ticket comes from; runs that resolve to the same one appear once.

    `weights` is the file of the weights that they are to start from, `checkpoint` the folder of the one that they are
    to go on from, where they are.

    Raises:
        UserError: with a line for each mistake in any of them, and for each backend that has no such device, or not so
            many, although it has runs to do.
    """
    resolver = _Resolver(data, records, weights, checkpoint)
    mistakes: dict[str, None] = {}
    needed: set[str] = set()
    for run in runs:
        try:
            entry = resolver.resolve(run, listed=True)
        except UserError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
        else:
            if recorded(records, entry.id):
                continue
            mistakes |= dict.fromkeys(told(lambda entry=entry: check_devices(entry.prepared, devices)))
        needed.add(run.config.backend)
    refuse(list(mistakes | dict.fromkeys(absent(needed, device, devices))))
    return list(resolver.entries.values())


@dataclass(frozen=True)
class _Resolver:
    """Entries so far by id, in an order in which every run follows its source."""

    data: Path | None
    records: Path
    weights: Path | None
    checkpoint: Path | None
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    known: dict[Asked, str] = field(default_factory=dict[Asked, str])

    def resolve(self, run: Asked, listed: bool = False) -> Entry:
        """The entry of a run, after those that it follows from."""
        if run not in self.known:
            entry = self._resolved(run)
            self.known[run] = entry.id
            self.entries.setdefault(entry.id, entry)
        entry = self.entries[self.known[run]]
        if listed and not entry.listed:
            entry = self.entries[entry.id] = replace(entry, listed=True)
        return entry

    def _resolved(self, run: Asked) -> Entry:
        config = run.config
        if run.source is None or config.ticket is None:
            return self._entry(config, _recorded_source(config, self.records))
        before = self.resolve(run.source)
        config = config.model_copy(update={"ticket": config.ticket.model_copy(update={"source": before.id})})
        return self._entry(config, _source(before.prepared, self.records))

    def _entry(self, config: RunConfig, source: Source | None) -> Entry:
        return Entry(config, prepare(config, self.data, source, self.weights, self.checkpoint), listed=False)


def _source(prepared: Prepared, records: Path) -> Source:
    """A source that has run, or is going to."""
    if recorded(records, prepared.id):
        return recorded_source(records, prepared.id)
    facts = (prepared.task.prunable, prepared.sparsities, prepared.method)
    return planned(prepared.id, prepared.config, prepared.identity, *facts)


def _recorded_source(config: RunConfig, records: Path) -> Source | None:
    return recorded_source(records, config.ticket.source) if config.ticket else None


def recorded(records: Path, id: str) -> bool:
    """Whether a run has its record."""
    return is_there(records / id)


def train_one(
    config: RunConfig, report: Report, data: Path | None, records: Path, device: str,
    weights: Path | None = None, every: float = CHECKPOINT, devices: int = 1, checkpoint: Path | None = None,
) -> Outcome:  # fmt: skip
    """One run, from settings to record; the work of a worker process. Another command may have been faster.

    Where a launcher has started this process, it is one of those that train the run, and the first of them knows how it
    ended; else `devices` are one machine's.
    """
    from sparsebench import runner

    prepared = prepare(config, data, _recorded_source(config, records), weights, checkpoint)
    launch = launched()
    again = redoing.is_marked(records, prepared.id)
    if launch or redoing.is_due(records, prepared.id):
        starter = starting(prepared.backend) if devices > 1 and not launch else None
        if starter:
            job = launching.Job(config, records, device, every, data, weights, checkpoint)
            launching.train(starter(devices), job, devices, report, report.tell, records / LOG)
        else:
            runner.run(prepared, records, device, report, runner.Keep(every, report.tell), launch or Launch(devices))
    if not speaks():
        return Outcome()
    differing = compared_again(records, prepared.id) if again else None
    return Outcome(read(records / prepared.id).diverged, differing)


def compared_again(records: Path, id: str) -> dict[Path, tuple[str, ...]]:
    """What differs between a record and each that it has replaced, now or before; where nothing does, that one goes.

    Then the run is no longer to be done again. Another command may have been faster.

    Raises:
        UserError: nothing can be written there.
    """
    with checkpoints.held(records, id):
        found = {path: _differences(path, records / id) for path in redoing.kept(records, id)}
        if not redoing.is_due(records, id):
            redoing.unmark(records, id)
        redoing.drop(records, [path for path, lines in found.items() if not lines])
    return {path: lines for path, lines in found.items() if lines}


def _differences(before: Path, now: Path) -> tuple[str, ...]:
    """Versions, machine and times do not count."""
    from sparsebench_board.comparing import compared

    try:
        parts = compared(read(before), read(now))
    except UserError as error:
        return (f"the record before cannot be compared: {error}",)
    found = tuple(f"{part.name}: {part.differences[0]}" for part in parts if part.differences)
    return () if all(line.startswith("versions: ") for line in found) else found
