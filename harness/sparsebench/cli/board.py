"""The way from records to the board and to MLflow; both are imported when they are needed, and not before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from sparsebench import index
from sparsebench import records as store
from sparsebench.aside import alone
from sparsebench.cli.options import check_readable, with_records
from sparsebench.cli.output import say, warn
from sparsebench.cli.work import recorded
from sparsebench.errors import UserError
from sparsebench.hardware import documents

Format = Literal["table", "md", "csv", "json"]
View = Literal["table", "tied", "pareto", "budget", "frameworks"]


def read(records: Path, ids: Iterable[str]) -> list[store.Record]:
    """The records of these runs, as far as they are there.

    Raises:
        UserError: with a line for each of them that cannot be read.
    """
    return index.read_each(records, [id for id in ids if recorded(records, id)])


def found(records: Path, mlflow: bool | str = False, ids: Iterable[str] | None = None) -> list[store.Record]:
    """The runs in a folder of records; or those that an MLflow store holds: the one of that URI, or for True the one
    that they are mirrored to. All of them, or as far as they are there those of some ids.

    Raises:
        UserError: there is no such place, with a line for each run that cannot be read, or MLflow is not installed.
    """
    if mlflow is False:
        check_readable(records)
        return index.read_all(records) if ids is None else read(records, ids)
    from sparsebench_board import mirrored, tracking

    everything = mirrored.read_all(tracking.default_store(records)[0] if mlflow is True else mlflow)
    wanted = None if ids is None else set(ids)
    return [record for record in everything if wanted is None or record.id in wanted]


def table(found: Sequence[store.Record], format: Format, against: str | None = None, references: bool = False) -> str:
    """The board of these records, each row compared with the method `against` if one is given.

    With `references`, the published rows that fit stand below it.

    Raises:
        UserError: what it needs is not installed, or no record is of that method.
    """
    from sparsebench_board import formats, paired, rows
    from sparsebench_board.table import board
    from sparsebench_board.views import published

    shown = rows.rows(found)
    compared = paired.compared(shown, against) if against else shown
    return formats.formatted((published.view if references else board)(compared), format).rstrip("\n")


def view(found: Sequence[store.Record], name: View, format: Format, budget: str) -> str:
    """One of the views of these records but the table; `budget` is for the view of that name.

    Raises:
        UserError: what it needs is not installed, or the budgets make no sense.
    """
    from sparsebench_board import budgets, formats, rows
    from sparsebench_board.views import budget as bought
    from sparsebench_board.views import frameworks, pareto, tied

    views = {"tied": tied.view, "pareto": pareto.view, "frameworks": frameworks.view}
    views["budget"] = partial(bought.view, budgets=budgets.parsed(budget))
    return formats.formatted(views[name](rows.rows(found)), format).rstrip("\n")


def site(found: Sequence[store.Record], folder: Path, records: Path, against: str | None, budget: str) -> str:
    """Write the static site of these records, and of the hardware documents in `records`; a line that says where it is.

    Raises:
        UserError: what it needs is not installed, it cannot be written, no record is of that method, or the budgets
            make no sense.
    """
    from sparsebench_board import budgets
    from sparsebench_board.extra import needs_board

    with needs_board("jinja2"):
        from sparsebench_board import site as pages

    shares, measured = budgets.parsed(budget), documents.paths(records)
    page = pages.write(found, folder, baseline=against, budgets=shares, hardware=measured)
    return f"page of {len(found)} runs: {page}"


def mirror(found: Sequence[store.Record], records: Path) -> None:
    """Mirror records to MLflow; what goes wrong there is a warning, since records are the truth."""
    from sparsebench_board import receipts, tracking
    from sparsebench_board.mirror import mirror as mirrored

    place = tracking.default_store(records)
    try:
        with alone(records):
            outcome = mirrored(found, *place)
            if not outcome.failed:
                receipts.note(found, place[0], records)
    except UserError as error:
        warn(str(error))
        return
    if outcome.failed:
        warn(f"{outcome}; records are complete, `{with_records('sparsebench ui', records)}` mirrors the rest")
    elif outcome.new or outcome.replaced:
        say(str(outcome))


def mirror_pending(found: Sequence[store.Record], records: Path) -> None:
    """Mirror what the store is not known to hold; it is not asked if there is nothing."""
    from sparsebench_board import receipts, tracking

    unmirror(records)
    pending = receipts.pending(found, tracking.default_store(records)[0], records)
    if pending:
        mirror(pending, records)


def unmirror(records: Path) -> None:
    """Take from MLflow what it still holds of records that were removed; what goes wrong there is a warning."""
    from sparsebench_board import receipts, tracking
    from sparsebench_board.mirror import remove

    place = tracking.default_store(records)
    if not (gone := receipts.owed(place[0], records)):
        return
    try:
        with alone(records):
            removed = remove(gone, *place)
            receipts.settle(gone, place[0], records)
    except (UserError, OSError) as error:
        warn(
            f"MLflow still holds what was removed: {len(gone)} runs ({error}); the records are gone, "
            f"`{with_records('sparsebench ui', records)}` removes the rest"
        )
        return
    if removed:
        say(f"MLflow runs: {removed} removed")


def publish(found: Sequence[store.Record], records: Path) -> None:
    """Log the page of all that MLflow holds, these records included; what goes wrong is a warning."""
    from sparsebench_board import tracking
    from sparsebench_board.page import publish as published

    try:
        published(found, *tracking.default_store(records), documents.paths(records))
    except Exception as error:  # stores raise what they like, and runs can be seen without a page
        warn(f"MLflow has no page of the board, or an old one ({tracking.line(error)})")


def mirror_hardware(paths: Sequence[Path], records: Path) -> None:
    """Mirror hardware documents to MLflow; what goes wrong there is a warning, since the files are the truth."""
    if not paths:
        return
    try:
        from sparsebench_board import hardware, tracking

        with alone(records):
            outcome = hardware.mirror(paths, *tracking.default_store(records))
    except UserError as error:
        warn(str(error))
        return
    if outcome.failed:
        warn(f"{outcome}; documents are complete, `{with_records('sparsebench ui', records)}` mirrors the rest")


def serve(records: Path, host: str, port: int) -> None:
    """MLflow's pages over these records, until Ctrl-C.

    Raises:
        UserError: MLflow is not installed, or the port is taken.
    """
    from sparsebench_board import tracking, ui

    ui.serve(*tracking.default_store(records), host, port)
