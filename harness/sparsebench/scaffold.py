"""A plugin's first package, from templates: it installs, runs and obeys the laws before anything is changed in it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal, get_args

import sparsebench
from sparsebench import plugins, shipped
from sparsebench.aside import aside, place_all
from sparsebench.errors import UserError

Kind = Literal["method", "backend", "model"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GROUPS: dict[Kind, plugins.Group] = {"method": "methods", "backend": "backends", "model": "models"}

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TEMPLATES = Path(__file__).resolve().parent / "templates"
EXAMPLE = "examples/sparsebench-example/src/sparsebench_example"
WORKING = ("network.py", "trainer.py")
"""What a new backend begins with: the example's, whose laws are tested."""


@dataclass(frozen=True)
class Plugin:
    """What a new plugin is called.

    Raises:
        UserError: the name cannot be a plugin's, or is taken.
    """

    kind: Kind
    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UserError(
                f"{self.kind} name {self.name!r}: it must be of small letters and digits, with single hyphens "
                "between them, and begin with a letter, such as 'my-method'"
            )
        if self.name in plugins.names(GROUPS[self.kind]):
            raise UserError(f"{self.kind} {self.name!r} is there already: choose another name")
        if importlib.util.find_spec(self.package):
            raise UserError(
                f"{self.kind} {self.name!r} would be in a package {self.package!r}, which is there already: "
                "choose another name"
            )

    @property
    def package(self) -> str:
        """What Python imports."""
        return f"sparsebench_{self.name.replace('-', '_')}"

    @property
    def folder(self) -> str:
        """The distribution's name, and the folder's."""
        return f"sparsebench-{self.name}"

    def files(self) -> Iterator[tuple[str, str]]:
        """(path in the folder, content) of every file."""
        words = {
            "name": self.name, "kind": self.kind, "group": GROUPS[self.kind], "package": self.package,
            "version": sparsebench.__version__,
        }  # fmt: skip
        for root in (TEMPLATES / "common", TEMPLATES / self.kind):
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                yield self._placed(path.relative_to(root)), Template(path.read_text("utf-8")).substitute(words)
        if self.kind == "backend":
            for name in WORKING:
                yield f"src/{self.package}/{name}", self._renamed(_example(name))

    def _placed(self, path: Path) -> str:
        """Where a template's file goes."""
        return path.with_suffix("").as_posix().replace("src/package/", f"src/{self.package}/")

    def _renamed(self, text: str) -> str:
        """The example's code in the new package, of a backend of the new name."""
        return text.replace("sparsebench_example", self.package).replace('"numpy"', f'"{self.name}"')


def _example(name: str) -> str:
    return next(path for root in shipped.roots() if (path := root / EXAMPLE / name).is_file()).read_text("utf-8")


def write(plugin: Plugin, folder: Path) -> list[Path]:
    """Write the package into a folder that is made for it; returns its files.

    Raises:
        UserError: the folder is there, or cannot be written.
    """
    files = {str(path): content.encode() for path, content in plugin.files()}
    try:
        if os.path.lexists(folder):
            raise UserError(f"{folder} is there already: name another folder with --to, or move it away")
        with aside(folder.parent) as new:
            place_all(new / folder.name, files.items())
            os.rename(new / folder.name, folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder} cannot be made (Not a directory): name another folder with --to") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): name another folder with --to") from error
    return [folder / path for path in files]
