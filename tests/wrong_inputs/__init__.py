"""Tables of wrong inputs, a module for each area; `tests/test_wrong_inputs.py` tries them all."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wrong:
    """A command line that is refused, and what its lines on standard error must name.

    `given` is what was given, `remedy` what is allowed or what to do about it: both, where a pair is given. `prepare`
    puts files into the working folder before. A command with several mistakes has as many `lines`.
    """

    line: str
    given: str
    remedy: str | tuple[str, ...]
    prepare: Callable[[Path], None] = lambda folder: None
    lines: int = 1

    @property
    def told(self) -> tuple[str, ...]:
        """All that must be said."""
        return (self.given, *((self.remedy,) if isinstance(self.remedy, str) else self.remedy))

    @property
    def arguments(self) -> list[str]:
        """The words of the command."""
        return shlex.split(self.line)


def file(name: str, content: bytes | str) -> Callable[[Path], None]:
    """Puts a file of that content into the working folder."""

    def prepare(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare
