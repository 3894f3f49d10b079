"""`sparsebench ui`: MLflow on this machine, over everything recorded."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from sparsebench import index
from sparsebench.cli import board
from sparsebench.cli.options import RUNS, Records, check_readable, check_writable
from sparsebench.errors import UserError
from sparsebench.hardware import documents


def ui(
    *,
    records: Records = RUNS,
    host: Annotated[str, Parameter(help="address to listen on; beware, there is no password")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="port to listen on", validator=validators.Number(gte=1, lte=65535))] = 5000,
) -> None:
    """Browse all runs in MLflow. What is not mirrored yet is mirrored first; Ctrl-C ends it."""
    check_readable(records)
    check_writable(records)
    found, measured = index.read_all(records), documents.paths(records)
    if not found and not measured:
        raise UserError(f"no records in {records}: there is nothing to show yet; `sparsebench run quick` makes some")
    board.unmirror(records)
    board.mirror(found, records)
    board.mirror_hardware(measured, records)
    board.publish(found, records)
    board.serve(records, host, port)
