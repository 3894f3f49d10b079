"""A kind of picture: what it is called, what it shows, and how it is drawn from records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsebench.records import Record
from sparsebench_board.pictures import style
from sparsebench_board.pictures.svg import svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Kind:
    """`figure(records)` draws it, under `style.applied()`; it raises a UserError where there is nothing to draw.

    `title` is a heading, `description` says in a sentence or two what the picture shows, for those who cannot see it.
    A kind that is `whole` shows any number of cells, a panel for each model and data set or more; any other is for a
    few cells at once, such as those of a page of their own.
    """

    name: str
    title: str
    description: str
    figure: Callable[[Sequence[Record]], Figure]
    whole: bool = True

    def svg(self, records: Sequence[Record]) -> str:
        """The picture as an `<svg>` element: for a file of its own, and beside others in one page of HTML.

        Raises:
            UserError: there is nothing to draw, or too much, a record cannot be read, or the board is not installed.
        """
        with style.applied():
            return svg(self.figure(records), self.name, self.title, self.description)
