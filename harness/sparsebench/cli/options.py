"""Options that several commands share, and what is checked about them before anything starts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token, validators

from sparsebench.errors import UserError
from sparsebench.printing import quoted

Records = Annotated[Path, Parameter(help="folder of run records")]
Data = Annotated[
    Path | None,
    Parameter(help="folder with data sets; else SPARSEBENCH_DATA, else the user's cache, else downloaded"),
]
Weights = Annotated[
    Path | None,
    Parameter(help="safetensors file to start from: timm's names, of this very network; else drawn from the seed"),
]
Continue = Annotated[
    Path | None,
    Parameter(
        name="--continue",
        help="another backend's checkpoint to go on from, RECORDS/.checkpoints/RUN/ITERATIONS; settings as they were",
    ),
]
Device = Annotated[Literal["cpu", "cuda"], Parameter(help="where to train")]
Devices = Annotated[
    int,
    Parameter(
        help="devices that share every batch of a run; under torchrun or srun, as many as processes",
        validator=validators.Number(gte=1),
    ),
]
Every = Annotated[
    float,
    Parameter(
        name="--checkpoint-every",
        help="seconds between checkpoints, from which the same command continues to the bit",
        validator=validators.Number(gte=0),
    ),
]
MLflow = Annotated[bool, Parameter(help="mirror to MLflow what it does not hold yet")]
FromMLflow = Annotated[
    bool | str,
    Parameter(
        name="--from-mlflow", negative=(), show_default=False,
        help="take runs from MLflow instead: from this URI, or without one from where they are mirrored to",
    ),
]  # fmt: skip


def whole(kind: object, words: Sequence[Token]) -> int:
    """A whole number and nothing else: 1.5 workers are a mistake, not one or two."""
    return int(words[0].value)


RUNS = Path("runs")
CHECKPOINT = 300.0


def check_data(data: Path | None) -> None:
    """Refuse a folder that does not exist.

    Raises:
        UserError: it does not.
    """
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no folder is there; give an existing one, or leave --data out")


def check_writable(folder: Path) -> None:
    """Refuse a folder that nothing can be written to, without creating it.

    Raises:
        UserError: it, or where it would be created, cannot be written to.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UserError(f"--records {folder}: cannot write there ({error.strerror}); give another folder") from error


def check_readable(folder: Path, remedy: str = "`sparsebench run quick` makes some") -> None:
    """Refuse a folder of records that is not there.

    Raises:
        UserError: it is not.
    """
    if not folder.is_dir():
        raise UserError(f"no records in {folder}: no folder is there; {remedy}")


def with_records(command: str, records: Path) -> str:
    """The next command to type, with --records where it is not the default."""
    return command if records == RUNS else f"{command} --records {quoted(records)}"
