"""`sparsebench run SUITE` where a launcher has started several processes: they train its runs together, one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from sparsebench.cli.live import shown
from sparsebench.cli.output import say
from sparsebench.cli.work import Entry, recorded
from sparsebench.launch import Launch, speaks
from sparsebench.progress import Item
from sparsebench.replicas import by_first
from sparsebench.terminal import Terminal
from sparsebench.together import joined
from sparsebench.worker import Event, Finished, Report, Started, Work, share_politely


def train_together(work: Work, entries: Sequence[Entry], records: Path, device: str, launch: Launch) -> None:
    """What is missing for the first replica, in its order; the first run that fails ends them all.

    Others might have failed elsewhere, or not at all: then each would wait for another.

    Raises:
        UserError: why it fails.
    """
    share_politely()
    group = joined(entries[0].prepared.backend, device, launch)[1]
    missing = json.loads(by_first(group, lambda: json.dumps(_missing(entries, records)).encode()))
    items = [Item(e.id, e.label, e.prepared.task.steps, e.id not in missing) for e in entries]
    say(f"{len(missing)} of {len(entries)} runs to do, each on {launch.devices} devices")
    with shown(items, Terminal()) if speaks() else nullcontext(_unseen) as show:
        for entry in entries:
            if entry.id in missing:
                show(entry.id, Started())
                end = work(entry.asked, Report(partial(show, entry.id)))
                show(entry.id, Finished(end))


def _missing(entries: Sequence[Entry], records: Path) -> list[str]:
    return [entry.id for entry in entries if not recorded(records, entry.id)]


def _unseen(id: str, event: Event) -> None:
    """The first replica shows it."""
