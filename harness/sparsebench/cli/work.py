"""From settings to runs that can start, and the work of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sparsebench.cli.devices import absent
from sparsebench.cli.options import RUNS
from sparsebench.config import RunConfig, digits
from sparsebench.errors import UserError
from sparsebench.mistakes import refuse
from sparsebench.prepare import Prepared, prepare


@dataclass(frozen=True, eq=False)
class Entry:
    """A run as it was asked for, and what it resolves to."""

    asked: RunConfig
    prepared: Prepared

    @property
    def id(self) -> str:
        """The run's id."""
        return self.prepared.id

    @property
    def label(self) -> str:
        """The cell it belongs to, in a few words: `rigl 0.9 torch`."""
        config = self.prepared.config
        parts = [config.method]
        if not self.prepared.method.dense:
            parts.append(digits(config.sparsity))
        if config.distribution != RunConfig.model_fields["distribution"].default:
            parts.append(config.distribution)
        if config.multiplier != 1:
            parts.append(f"{digits(config.multiplier)}x")
        return " ".join((*parts, config.backend))


def prepare_all(
    configs: Iterable[RunConfig], data: Path | None, records: Path = RUNS, device: str = "cpu"
) -> list[Entry]:
    """Resolve all runs; runs that resolve to the same one appear once.

    Raises:
        UserError: with a line for each mistake in any of them, and for each backend that has no such device although
            it has runs to do.
    """
    entries: dict[str, Entry] = {}
    mistakes: dict[str, None] = {}
    needed: set[str] = set()
    for config in configs:
        try:
            entry = Entry(config, prepare(config, data))
        except UserError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
        else:
            entries.setdefault(entry.id, entry)
            if recorded(records, entry.id):
                continue
        needed.add(config.backend)
    refuse(list(mistakes | dict.fromkeys(absent(needed, device))))
    return list(entries.values())


def recorded(records: Path, id: str) -> bool:
    """Whether a run has its record."""
    return (records / id / "result.json").is_file()


def train_one(
    config: RunConfig, report: Callable[[int, int], None], data: Path | None, records: Path, device: str
) -> None:
    """One run, from settings to record; the work of a worker process. Another command may have been faster."""
    from sparsebench import runner

    prepared = prepare(config, data)
    if not recorded(records, prepared.id):
        runner.run(prepared, records, device, report)
