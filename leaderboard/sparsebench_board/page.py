"""The board's page in MLflow: artifacts of a run of its own, which the experiment's note leads to.

MLflow shows one file at a time, and no page of it may lead to another; so each says that, and all of the site is beside
them in one archive. The page is made anew where runs have come or gone since.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sparsebench
from sparsebench.environment import commit
from sparsebench_board import site
from sparsebench_board.documents import DIGEST
from sparsebench_board.entries import KIND
from sparsebench_board.mirror import patience
from sparsebench_board.shelf import FINISHED, PAGE, Shelf, open_shelf
from sparsebench_board.tracking import within
from sparsebench_board.welcome import PAGES, greet, held

if TYPE_CHECKING:
    from sparsebench.records import Record

HEAD = '<main id="content">'
HERE = (
    '<p role="note">Inside MLflow, links to other pages lead nowhere: choose pages from the list of files, '
    f"or download {PAGES}.zip, which holds all of them.</p>"
)


def publish(local: Sequence[Record], uri: str, artifacts: Path, hardware: Sequence[Path] = ()) -> None:
    """Log the page of all runs in the store at `uri`, unless it is there; what is `local` need not be fetched.

    Raises:
        UserError: the store cannot be used or is too slow, a record is damaged, or a package is missing.
    """
    shelf = within(patience(len(local)), lambda: open_shelf(uri, artifacts))
    within(patience(len(shelf.runs)), lambda: _publish(shelf, local, hardware))


def _publish(shelf: Shelf, local: Sequence[Record], hardware: Sequence[Path]) -> None:
    digest = _digest(shelf, hardware)
    if shelf.page and shelf.page.data.tags.get(DIGEST) == digest:
        return
    found = {record.id: record for record in held(shelf)} | {record.id: record for record in local}
    if not found:
        return
    with tempfile.TemporaryDirectory(prefix="sparsebench-") as folder:
        _log(shelf, _pages([found[id] for id in sorted(found)], Path(folder), hardware), digest)
    greet(shelf)


def _digest(shelf: Shelf, hardware: Sequence[Path]) -> str:
    """The same for the same runs, documents of hardware and version of ours."""
    made = hashlib.sha256(f"{sparsebench.__version__} {commit()}".encode())
    for run in shelf.finished():
        made.update(run.data.tags.get(DIGEST, "").encode())
    for path in hardware:
        made.update(path.read_bytes())
    return made.hexdigest()


def _pages(found: Sequence[Record], folder: Path, hardware: Sequence[Path]) -> Path:
    """The folder to log: pages that say where they are, and the archive of the site."""
    whole, shown = folder / "whole" / PAGES, folder / "shown"
    site.write(found, whole, hardware=hardware)
    shown.mkdir()
    shutil.make_archive(str(shown / PAGES), "zip", whole.parent, PAGES)
    for page in whole.glob("*.html"):
        text = page.read_text(encoding="utf-8").replace(HEAD, HEAD + HERE, 1)
        (shown / page.name).write_text(text, encoding="utf-8")
    return shown


def _log(shelf: Shelf, folder: Path, digest: str) -> None:
    client, earlier = shelf.client, [*shelf.pages]
    run = client.create_run(shelf.experiment, tags={KIND: PAGE, DIGEST: digest}, run_name=PAGES).info.run_id
    client.log_artifacts(run, str(folder), PAGES)
    client.set_terminated(run, FINISHED)
    shelf.pages[:] = [client.get_run(run)]
    for before in earlier:
        client.delete_run(before.info.run_id)
