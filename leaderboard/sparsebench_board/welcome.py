"""What our experiment in MLflow greets with: prepared views, and a note with the board and links to them and the page.

All of it is made from what the store holds, so that a team's experiment shows everybody's runs. It is an extra: what
goes wrong here stops no mirror.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sparsebench_board import formats, mirrored, prepared
from sparsebench_board.rows import rows
from sparsebench_board.shelf import Shelf
from sparsebench_board.table import board

if TYPE_CHECKING:
    from sparsebench.records import Record

PAGES = "leaderboard"
"""The folder of the page among the artifacts of its run."""
NOTE = "mlflow.note.content"
ROOM = 20_000
"""Characters that MLflow keeps of an experiment's tag."""
CUT = "\n\nCut here, for MLflow keeps no longer notes: `sparsebench leaderboard --from-mlflow` prints all of it.\n"


def greet(shelf: Shelf) -> None:
    """Write views and note, where they are not what they should be."""
    with suppress(Exception):  # stores raise what they like
        known = shelf.client.get_experiment(shelf.experiment).tags
        wanted = dict(view.tag() for view in prepared.VIEWS)
        wanted[NOTE] = note(_links(shelf), list(held(shelf)))
        for name, value in wanted.items():
            if known.get(name) != value:
                shelf.client.set_experiment_tag(shelf.experiment, name, value)


def held(shelf: Shelf) -> Iterator[Record]:
    """The records that the store holds whole."""
    for run in shelf.finished():
        with suppress(*mirrored.DAMAGED):
            yield mirrored.record_of(shelf.client, run)


def note(links: str, found: Sequence[Record]) -> str:
    """The board of some records as Markdown under a line of links, cut at the end of a line where it is too long."""
    text = f"sparsebench: {links}\n\n{_spaced(formats.markdown(board(rows(found))))}"
    if len(text) <= ROOM:
        return text
    return text[: text.rindex("\n", 0, ROOM - len(CUT))] + CUT


def _links(shelf: Shelf) -> str:
    addresses = {view.name: view.address(shelf.experiment) for view in prepared.VIEWS}
    if shelf.page:
        run = shelf.page.info.run_id
        addresses["Page"] = (
            f"/#/experiments/{shelf.experiment}/runs/{run}/artifacts/{PAGES}/index.html?workflowType=machine_learning"
        )
    return " · ".join(f"[{name}]({address.removeprefix('/')})" for name, address in addresses.items())


def _spaced(text: str) -> str:
    """Room between a table's cells, which MLflow's pages leave out."""
    return "\n".join(
        line.replace(" | ", "&emsp; | ") if line.startswith("| ") and set(line) - set("|:- ") else line
        for line in text.split("\n")
    )
