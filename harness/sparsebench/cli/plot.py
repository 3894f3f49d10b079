"""`sparsebench plot KIND`: a picture of run records, as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sparsebench import aside
from sparsebench.cli import board
from sparsebench.cli.only import chosen, matching
from sparsebench.cli.options import RUNS, FromMLflow, Records
from sparsebench.cli.output import say
from sparsebench.errors import UserError, unknown
from sparsebench.records import Record

KINDS = (
    "training-flops, inference-flops, sparsity, matrix, layers, movement, frameworks, overlap, or curves of a few cells"
)
"""As the help tells them, which imports no picture."""


def plot(
    kind: Annotated[str, Parameter(help=f"what to draw: {KINDS}")],
    /,
    *,
    records: Records = RUNS,
    from_mlflow: FromMLflow = False,
    only: Annotated[str | None, Parameter(help="some of the runs, such as method=rigl,seed=0")] = None,
    model: Annotated[str | None, Parameter(help="for layers: the plans for a model, without runs")] = None,
    sparsity: Annotated[float | None, Parameter(help="for layers of a model: share of inactive weights")] = None,
    to: Annotated[Path | None, Parameter(help="the SVG file to write [KIND.svg]")] = None,
) -> None:
    """Draw a picture of some runs, or of a model's layers."""
    from sparsebench_board import pictures

    if kind not in pictures.KINDS:
        raise unknown("picture", kind, pictures.KINDS)
    target = to or Path(f"{kind}.svg")
    if model is not None or sparsity is not None:
        _write(target, _layers(kind, model, sparsity, only))
        say(f"layers of {model}: {target}")
        return
    found = _chosen(board.found(records, from_mlflow), only)
    _write(target, pictures.KINDS[kind].svg(found))
    say(f"{kind} of {len(found)} runs: {target}")


def _layers(kind: str, model: str | None, sparsity: float | None, only: str | None) -> str:
    """The picture of a model's layers; refuses what does not go together."""
    from sparsebench_board.pictures import layers

    if kind != "layers":
        raise UserError(f"--model and --sparsity are for layers, given {kind}: choose runs with --only sparsity=0.9")
    if model is None or sparsity is None:
        raise UserError("layers of a model need both, such as --model resnet50 --sparsity 0.9; of runs, neither")
    if only is not None:
        raise UserError("--only chooses runs, --model draws plans without runs: leave one of the two out")
    return layers.svg(model, sparsity)


def _chosen(found: Sequence[Record], only: str | None) -> Sequence[Record]:
    if not found:
        raise UserError("there are no runs to draw: `sparsebench run quick` makes some")
    if only is None:
        return found
    matches = matching([record.config for record in found], only)
    return chosen([record for record in found if matches(record.config)], only)


def _write(path: Path, text: str) -> None:
    try:
        aside.put({path: text.encode()})
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): give another --to") from error
