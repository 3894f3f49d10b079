"""From settings to runs that can start, and the work of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sparsebench import redoing
from sparsebench.asked import Asked
from sparsebench.cli.devices import absent
from sparsebench.cli.options import CHECKPOINT, RUNS
from sparsebench.cli.output import warn
from sparsebench.config import RunConfig, digits
from sparsebench.errors import UserError
from sparsebench.mistakes import refuse
from sparsebench.outcome import Outcome
from sparsebench.prepare import Prepared, prepare
from sparsebench.records import read
from sparsebench.sources import Source, planned
from sparsebench.sources import recorded as recorded_source


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
        return " ".join((*parts, config.backend))


def prepare_all(
    runs: Iterable[Asked], data: Path | None, records: Path = RUNS, device: str = "cpu", weights: Path | None = None
) -> list[Entry]:
    """Resolve all runs, each after the one its ticket comes from; runs that resolve to the same one appear once.

    `weights` is the file of the weights that they are to start from, where they are.

    Raises:
        UserError: with a line for each mistake in any of them, and for each backend that has no such device although
            it has runs to do.
    """
    resolver = _Resolver(data, records, weights)
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
        needed.add(run.config.backend)
    refuse(list(mistakes | dict.fromkeys(absent(needed, device))))
    return list(resolver.entries.values())


@dataclass(frozen=True)
class _Resolver:
    """Entries so far by id, in an order in which every run follows its source."""

    data: Path | None
    records: Path
    weights: Path | None
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
            return Entry(
                config, prepare(config, self.data, _recorded_source(config, self.records), self.weights), listed=False
            )
        before = self.resolve(run.source)
        config = config.model_copy(update={"ticket": config.ticket.model_copy(update={"source": before.id})})
        return Entry(
            config, prepare(config, self.data, _source(before.prepared, self.records), self.weights), listed=False
        )


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
    return (records / id / "result.json").is_file()


def train_one(
    config: RunConfig, report: Callable[[int, int], None], data: Path | None, records: Path, device: str,
    weights: Path | None = None, every: float = CHECKPOINT,
) -> Outcome:  # fmt: skip
    """One run, from settings to record; the work of a worker process. Another command may have been faster."""
    from sparsebench import runner

    prepared = prepare(config, data, _recorded_source(config, records), weights)
    again = redoing.is_marked(records, prepared.id)
    if redoing.is_due(records, prepared.id):
        runner.run(prepared, records, device, report, runner.Keep(every, warn))
    differing = differences(records, prepared.id) if again else ()
    return Outcome(read(records / prepared.id).diverged, differing)


def differences(records: Path, id: str) -> tuple[str, ...]:
    """What differs between a record and the one that it replaced, which is kept only if anything does.

    Versions, machine and times do not count.
    """
    from sparsebench_board.comparing import compared

    if not redoing.before(records, id).is_dir():  # another command was faster
        return ()
    try:
        parts = compared(read(redoing.before(records, id)), read(records / id))
    except UserError as error:
        return (f"the record before cannot be compared: {error}",)
    found = tuple(f"{part.name}: {part.differences[0]}" for part in parts if part.differences)
    if all(line.startswith("versions: ") for line in found):
        redoing.drop(records, id)
        return ()
    return found
