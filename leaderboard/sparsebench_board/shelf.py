"""Our experiment in an MLflow store: what it holds by the ids of records, and how a run gets into it.

The store is asked once for all it holds; after that only changes are written, in as few requests as it allows.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparsebench_board.documents import DIGEST, RUN
from sparsebench_board.entries import CELL, KIND, LOST, PARENT, Entry, Series, summary
from sparsebench_board.tracking import connect, experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 1000
"""Metrics in one request, the most that MLflow takes."""
FINISHED, FAILED, PAGE = "FINISHED", "FAILED", "page"
"""Statuses: a run that is mirrored whole is finished, or failed if it diverged; one that is not yet is running."""


@dataclass
class Shelf:
    """The experiment's runs: `runs` by record, `parents` and the metrics of finished `children` by cell, and `pages`,
    which hold the board's page, the newest first."""

    client: MlflowClient
    experiment: str
    runs: defaultdict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    parents: dict[str, Run] = field(default_factory=dict)
    children: defaultdict[str, dict[str, dict[str, float]]] = field(default_factory=lambda: defaultdict(dict))
    pages: list[Run] = field(default_factory=list)

    def note(self, run: Run) -> None:
        """Take in a run that the store holds; runs that are not ours are passed over."""
        tags = run.data.tags
        if tags.get(KIND) == "cell":
            self.parents.setdefault(tags[CELL], run)
        elif tags.get(KIND) == "run":
            self.runs[tags[RUN]].append(run)
            if is_finished(run):
                self.children[tags[CELL]][tags[RUN]] = run.data.metrics
        elif tags.get(KIND) == PAGE:
            self.pages.append(run)

    def parent(self, entry: Entry) -> str:
        """The run of a cell, made if it is not there."""
        cell = entry.tags[CELL]
        if cell not in self.parents:
            self.parents[cell] = self._create(entry, {})
        return self.parents[cell].info.run_id

    def knows(self, record: str) -> bool:
        """Whether any run of this record is there, finished or not."""
        return bool(self.runs[record])

    def find(self, record: str, digest: str) -> Run | None:
        """The finished run of a record with this digest, if there is one."""
        return next(
            (run for run in self.runs[record] if is_finished(run) and run.data.tags.get(DIGEST) == digest), None
        )

    @property
    def page(self) -> Run | None:
        """The one that is complete, if there is one."""
        return next(filter(is_finished, self.pages), None)

    def finished(self) -> Iterator[Run]:
        """The run of every record that is mirrored whole, by id."""
        for record in sorted(record for runs in self.children.values() for record in runs):
            runs = self.runs[record]
            yield next(filter(is_finished, runs), runs[0])  # what was added just now is, and does not know it

    def keep(self, run: Run, parent: str) -> None:
        """Make a run the only one of its record, under this parent."""
        if run.data.tags.get(PARENT) != parent:
            self.client.set_tag(run.info.run_id, PARENT, parent)
        self._keep_only(run)

    def add(self, entry: Entry, parent: str) -> None:
        """Log a run, then delete those that were there of the same record."""
        run = self._create(entry, {PARENT: parent})
        self._log(run.info.run_id, entry.series, entry.finished or run.info.start_time)
        self.client.log_artifacts(run.info.run_id, str(entry.files))
        self.client.set_terminated(run.info.run_id, FAILED if entry.diverged else FINISHED, entry.finished)
        self._keep_only(run)
        self.children[entry.tags[CELL]][entry.tags[RUN]] = latest(entry.series)

    def remove(self, records: Iterable[str]) -> int:
        """Delete the runs of these records, and of cells left without any; returns of how many records there were."""
        gone = {record: self.runs.pop(record) for record in set(records) if self.runs[record]}
        for run in (run for runs in gone.values() for run in runs):
            self.client.delete_run(run.info.run_id)
            self.children[run.data.tags[CELL]].pop(run.data.tags[RUN], None)
        for cell in {run.data.tags[CELL] for runs in gone.values() for run in runs} & set(self.parents):
            self._lessen(cell)
        return len(gone)

    def _lessen(self, cell: str) -> None:
        """A parent made anew over the runs that are left of a cell, for a metric that is gone cannot be taken back."""
        from mlflow.entities import Param

        parent = self.parents.pop(cell)
        left = [run for runs in self.runs.values() for run in runs if run.data.tags[CELL] == cell]
        if left:
            made = self.client.create_run(
                self.experiment, parent.info.start_time, parent.data.tags, parent.info.run_name
            )
            parameters = [Param(name, value) for name, value in parent.data.params.items()]
            self.client.log_batch(made.info.run_id, params=parameters)
            for run in left:
                self.client.set_tag(run.info.run_id, PARENT, made.info.run_id)
            self.parents[cell] = made
            self.summarise(made.info.run_id, cell)
        self.client.delete_run(parent.info.run_id)

    def summarise(self, parent: str, cell: str) -> None:
        """Give a parent the means over its finished children, unless it has them."""
        runs = list(self.children[cell].values())
        if not runs:
            return
        known = self.parents[cell]
        found = {name: 0.0 for name in (LOST,) if name in known.data.metrics} | summary(runs)
        if is_finished(known) and all(_same(known.data.metrics.get(name), value) for name, value in found.items()):
            return
        now = round(time.time() * 1000)
        self._log(parent, {(name, 0): value for name, value in found.items()}, now)
        self.client.set_terminated(parent, FINISHED)

    def _create(self, entry: Entry, tags: dict[str, str]) -> Run:
        from mlflow.entities import Param

        run = self.client.create_run(self.experiment, entry.started, {**entry.tags, **tags}, entry.name)
        parameters = [Param(name, value) for name, value in entry.parameters.items()]
        self.client.log_batch(run.info.run_id, params=parameters)
        return run

    def _log(self, run: str, series: Series, moment: int) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, moment, step) for (name, step), value in series.items()]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run, metrics=metrics[start : start + BATCH])

    def _keep_only(self, current: Run) -> None:
        record = current.data.tags[RUN]
        for run in self.runs[record]:
            if run.info.run_id != current.info.run_id:
                self.client.delete_run(run.info.run_id)
        self.runs[record] = [current]


def open_shelf(uri: str, artifacts: Path) -> Shelf:
    """Our experiment in the store at `uri`, made if it is not there, and all it holds.

    Raises:
        UserError: the store cannot be reached or written.
    """
    client = connect(uri)
    shelf = Shelf(client, experiment(client, uri, artifacts))
    for run in all_runs(client, shelf.experiment):
        shelf.note(run)
    return shelf


def latest(series: Series) -> dict[str, float]:
    """The value of each metric at its last step, which is what MLflow shows of it."""
    return {name: value for (name, _), value in sorted(series.items())}


def all_runs(client: MlflowClient, experiment: str) -> Iterator[Run]:
    """Every run of an experiment that is not deleted, the newest first."""
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_finished(run: Run) -> bool:
    """Whether its mirror was not interrupted."""
    return run.info.status in (FINISHED, FAILED)


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))
