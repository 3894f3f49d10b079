"""`python -m sparsebench.replica JOB`, as a launcher starts it: one of the processes that train one run together.

It says in lines of JSON how far the run is, and what is wrong; whatever else is printed goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, TextIO

from sparsebench.cli.work import train_one
from sparsebench.errors import SharedError, UserError
from sparsebench.launch import speaks
from sparsebench.launching import Job
from sparsebench.worker import Event, Progressed, Report, Told


def main(text: str, channel: TextIO) -> int:
    """Train the run of a job, as the one of several that this process's launcher says; returns the exit code."""
    job = Job.read(text)

    def say(**fact: Any) -> None:
        channel.write(json.dumps(fact) + "\n")
        channel.flush()

    def said(event: Event) -> None:
        if isinstance(event, Progressed):
            say(done=event.done, steps=event.steps)
        elif isinstance(event, Told):
            say(tell=event.line)

    try:
        train_one(
            job.config, Report(said), job.data, job.records, job.device, job.weights, job.every,
            checkpoint=job.checkpoint,
        )  # fmt: skip
    except UserError as error:
        if speaks() or not isinstance(error, SharedError):
            say(mistake=str(error))
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _own_channel() -> TextIO:
    """Standard output, for us alone: what frameworks print goes where errors go."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    code = main(sys.argv[1], _own_channel())
    sys.stderr.flush()
    os._exit(code)  # all is written and told; threads of gloo that still run would sometimes abort the process
