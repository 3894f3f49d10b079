"""`sparsebench check NAME`: the conformance suite on one plugin, and its certificate."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Annotated, Literal

from cyclopts import Parameter

from sparsebench.cli.certified import show
from sparsebench.cli.options import Device, whole
from sparsebench.cli.output import say
from sparsebench.conformance.certificate import CASES, Watch, certify, written
from sparsebench.conformance.suite import Kind, Trial
from sparsebench.errors import UserError
from sparsebench.terminal import Terminal
from sparsebench.worker import share_politely

MOST = 100_000


def check(
    name: Annotated[str, Parameter(help="a method, backend or model; see `sparsebench list`")],
    /,
    *,
    kind: Annotated[Kind | None, Parameter(help="what it is, where several have the name")] = None,
    cases: Annotated[int, Parameter(help="cases drawn for each law", converter=whole)] = CASES,
    seed: Annotated[int, Parameter(help="what the cases are drawn by", converter=whole)] = 0,
    device: Device = "cpu",
    format: Annotated[Literal["table", "json"], Parameter(help="how to print it")] = "table",
) -> int:
    """Hold a plugin against its laws and print the certificate; 1 if it breaks one."""
    if not 1 <= cases <= MOST:
        raise UserError(f"--cases {cases}: should be from 1 to {MOST:,}")
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed {seed}: should be from 0 to 2**63 - 1")
    share_politely()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on nets this small threads cost more than they give
    console = Terminal(sys.stderr)
    with console.status("") if console.is_terminal and format == "table" else nullcontext() as status:

        def watch(trial: Trial) -> None:
            if status:
                status.update(f"{trial.check.name} on {trial.place.name}")

        told: Watch = watch
        certificate = certify(name, kind=kind, cases=cases, seed=seed, device=device, watch=told)
    if format == "json":
        say(written(certificate))
    else:
        show(certificate)
    return 0 if certificate.passed else 1
