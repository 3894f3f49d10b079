"""The site as files: everything is made before anything is written, and what is the same already is left alone."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sparsebench.aside import PREFIX, alone, place_all, sweep
from sparsebench.errors import UserError
from sparsebench.records import Record
from sparsebench_board.pictures import KINDS
from sparsebench_board.pictures.kind import Kind
from sparsebench_board.site.contents import Content, contents
from sparsebench_board.site.views import BUDGETS

INDEX = "index.html"
OURS = 'name="generator" content="sparsebench leaderboard"'
"""In the head of every page."""
FOLDERS = ("cells", "pictures", "tables")


def write(
    records: Sequence[Record],
    folder: Path,
    *,
    baseline: str | None = None,
    budgets: Sequence[float] = BUDGETS,
    hardware: Sequence[Path] = (),
    kinds: Mapping[str, Kind] = KINDS,
) -> Path:
    """Write the site of some records into a folder, in place of an earlier one, and return its first page.

    Differences are to the method `baseline`, or to dense and static; `hardware` are documents of `sparsebench bench`.
    Other files in the folder stay.

    Raises:
        UserError: something else is in the folder, it cannot be written, a record is damaged, no row is of the method,
            or a package is missing.
    """
    _check(folder)
    files = dict(contents(records, folder, baseline, budgets, hardware, kinds))
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _writing(folder), alone(folder):
        sweep(folder)
        place_all(folder, _changed(folder, files))
        _sweep(folder, {folder / name for name in files})
    return folder / INDEX


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--html {folder}: cannot be written ({error.strerror}): give another folder") from error


def _check(folder: Path) -> None:
    """Refuse a folder that holds something, and no site of ours."""
    if (
        folder.is_dir()
        and any(not path.name.startswith(PREFIX) for path in folder.iterdir())
        and not _is_ours(folder / INDEX)
    ):
        raise UserError(f"--html {folder}: other files are in that folder; give a new one, or that of an earlier page")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--html {folder}: a file is there; give the name of a folder")


def _is_ours(page: Path) -> bool:
    if not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        return OURS in file.read(4096)


def _changed(folder: Path, files: Mapping[str, Content]) -> Iterator[tuple[str, bytes]]:
    """What is not there as it should be; the first page comes first, for it makes the folder one of ours."""
    for name in sorted(files, key=lambda name: name != INDEX):
        said, path = files[name], folder / name
        content = said.read_bytes() if isinstance(said, Path) else said.encode()
        if not (path.is_file() and path.read_bytes() == content):
            yield name, content


def _sweep(folder: Path, current: Collection[Path]) -> None:
    """Remove what an earlier site had and this one has not."""
    for path in _earlier(folder):
        if path not in current:
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def _earlier(folder: Path) -> list[Path]:
    """Files in the folders that are ours alone, and pages of ours beside them."""
    inside = [path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    return inside + [path for path in folder.glob("*.html") if _is_ours(path)]
