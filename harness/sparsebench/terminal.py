"""A console whose styling is ours alone: texts are shown as they are, and steer nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sparsebench.printing import printable_lines


class Terminal(Console):
    """rich's console, which would hand on escape codes that are in a text, and read [brackets] as styling."""

    def __init__(self, file: IO[str] | None = None, width: int | None = None, colours: bool | None = None) -> None:
        """Of standard output unless `file` says otherwise; `colours` are for a terminal unless that is said too."""
        super().__init__(file=file or sys.stdout, width=width, force_terminal=colours, highlight=False, markup=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is made of a text, a table or anything else; only what rich itself makes to control a terminal does."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))
