"""Work for executors: jobs that are done, fail, are lost or wait, in processes that import this by name."""

import os
import signal
import time
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.stopping import Stopped, deferred


def run(argument, report):
    """Report a first step, then do as told; a file that is not there yet makes the first attempt different."""
    what, place = argument
    mark = Path(place, what)
    first, begun = not mark.exists(), 1
    mark.touch()
    if what == "advance":  # as from a checkpoint that is further on each time
        mark.write_text(f"{mark.read_text()}x")
        begun = len(mark.read_text())
    report(begun, 9)
    match what:
        case "user":
            raise UserError("no such thing: give another")
        case "crash":
            raise RuntimeError("first line\nsecond line")
        case "once" if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case "advance" if begun < 6:
            os.kill(os.getpid(), signal.SIGKILL)
        case "never":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            Path(place, "pid").write_text(str(os.getpid()))
            time.sleep(60)
        case "keep":  # as a run at the end of its segment, when it is asked to end
            with deferred() as asked:
                Path(place, "pid").write_text(str(os.getpid()))
                while not asked():
                    time.sleep(0.01)
                time.sleep(1)
                Path(place, "kept").touch()
                raise Stopped
    return what


def jobs(place, *names):
    """Jobs of these names, all in one lane."""
    from sparsebench.executors.jobs import Job

    return [Job(name, "lane", (name, str(place))) for name in names]


ENDS = ("user", "crash", "once", "never", "fine")


def check(told, log):
    """Whether `ENDS` came out as they should where a lost worker is no failure; told: (id, event)."""
    from sparsebench.worker import Failed, Finished, Lost, Started

    by_job = {name: [event for id, event in told if id == name] for name in ENDS}
    kinds = {name: [type(event) for event in events] for name, events in by_job.items()}
    assert by_job["user"][-1] == Failed("no such thing: give another")
    assert by_job["crash"][-1] == Failed("RuntimeError: first line second line", logged=True)
    assert by_job["fine"][-1] == Finished("fine")
    assert by_job["once"][-1] == Finished("once")
    assert (kinds["once"].count(Lost), kinds["once"].count(Started)) == (1, 2)
    assert by_job["never"][-1].reason.startswith("its worker was lost 3 times with no checkpoint between (")
    assert kinds["never"].count(Started) == 3
    assert "second line" in log.read_text()
