"""The command line. Commands are imported when they are called, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnusedCliTokensError

import sparsebench
from sparsebench.cli.output import complain, hush, prepare_streams
from sparsebench.cli.signals import Ended, as_exceptions
from sparsebench.errors import SharedError, UserError
from sparsebench.launch import speaks

app = App(
    name="sparsebench",
    help="Benchmark sparse training: one method, two frameworks, one leaderboard. Start with `sparsebench run quick`.",
    version=sparsebench.__version__,
    suppress_keyboard_interrupt=False,
)
HELP = {
    "run": """Train what is missing of a suite, then print its board.

        Every finished run is recorded at once: interrupt when you like, the same command does the rest.
        For example: `sparsebench run quick`, or a part of it: `sparsebench run quick --only method=rigl`;
        with `--dry-run` it only tells what that costs and about how long it takes. With `--again` it also does again
        what is recorded: asks first, and a record stays until the new one is whole.""",
    "train": """Train one network; every setting is an option.

        Prints what it reaches and what it costs, and keeps a record.
        For example: `sparsebench train --method set --sparsity 0.98 --backend jax --recipe.steps 2000`""",
    "rm": """Remove runs: record, checkpoints, MLflow run. Asks first.

        Runs that are being trained stay. Exit code 0: all are gone, 1: some stay, or the answer was no.
        For example: `sparsebench rm RUN`, or `sparsebench rm --suite quick --only method=rigl,seed=0`""",
    "doctor": """Check installation, devices, store, data and records, and say what to do.

        Changes nothing. Exit code 0: there is no problem, 1: there is one.
        For example: `sparsebench doctor --records runs`""",
    "flops": """Print what a method costs by its published formula, without training.

        FLOPs of dense and of the method, per layer and per kind of step.
        For example: `sparsebench flops resnet50 --method rigl --sparsity 0.9 --multiplier 5`""",
    "density": """Print how many connections each layer keeps.

        For example: `sparsebench density resnet50 --sparsity 0.9 --distribution erk`""",
    "leaderboard": """Print the board of all records, or of one suite's.

        One row for each cell (method, sparsity, backend) over all its seeds; other views say which rows are tied, which
        are on a Pareto front, what a training budget buys, and how the frameworks differ.
        For example: `sparsebench leaderboard --view budget --budget 0.5,1`; or as pages, with pictures:
        `sparsebench leaderboard --html site/`""",
    "compare": """Show where two runs first differ: settings, versions, metrics, masks, weights.

        Each is an id, or the folder of a record. Exit code 0: equal, 1: different.
        For example: `sparsebench compare runs/ID elsewhere/ID`""",
    "plot": """Draw a picture of runs, as an SVG file.

        Accuracy against FLOPs or sparsity, layers, how masks move, torch beside jax, and curves.
        For example: `sparsebench plot training-flops`, `sparsebench plot curves --only method=rigl,seed=0`, and
        without any run `sparsebench plot layers --model resnet50 --sparsity 0.9`""",
    "ui": """Browse runs in MLflow, on this machine.

        What is not mirrored yet is mirrored first; Ctrl-C ends it.""",
    "bench": """Measure this machine: masked steps, and kernels that are really sparse.

        Each model in each backend on random data; then sparse kernels against the best dense engine.
        For example: `sparsebench bench`, or a part: `sparsebench bench --model lenet-300-100 --backend torch`""",
    "check": """Hold a plugin against its laws: a method, a backend or a model, ours or anybody's.

        Prints each law, in how many cases it held, and the smallest case that breaks it, as Python that tries it again.
        For example: `sparsebench check rigl`. Exit code 0: all laws hold, 1: one is broken.""",
    "list": """List methods, backends, models, data sets or suites.

        A broken plugin is a warning here and an error in a run.""",
    "show": """Show a method's card: equations, source, choices, defaults, cost.

        For example: `sparsebench show method rigl`""",
    "new": """Write a package for a method, backend or model of yours.

        It installs, runs and is tested before you change anything in it.
        For example: `sparsebench new method my-method`""",
    "export": """Write a run's network to files: dense weights, zero outside the masks, and the masks.

        timm's models load the weights, and `train --weights` starts from them.
        For example: `sparsebench export RUN --to net.safetensors`""",
    "import": """Take in records from another machine.

        Copies those that are missing here and mirrors all of them to MLflow; doing it again changes nothing.""",
}
"""Told without importing the command."""

MODULES = {"list": "listing", "import": "importing"}
"""Where a command's name is a word that Python has taken."""

for name, text in HELP.items():
    module = MODULES.get(name, name)
    app.command(f"sparsebench.cli.{module}:{module}", name=name, help=text)

LONGEST = 200
"""Characters of a path that are told."""
INTERRUPTED, UNREAD = 130, 141  # 128 + SIGINT and 128 + SIGPIPE, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (from `sys.argv` by default) and return its exit code; a user's mistake is 2, a line for each."""
    prepare_streams()
    try:
        with as_exceptions():
            return app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except SharedError as error:
        mistakes = str(error).splitlines() if speaks() else []
    except UserError as error:
        mistakes = str(error).splitlines()
    except CycloptsError as error:
        mistakes = _explained(error)
    except KeyboardInterrupt:
        return _ended("interrupted", INTERRUPTED)
    except Ended as ended:
        return _ended(f"ended by {ended.name}", ended.code)
    except BrokenPipeError:  # `| head` has seen enough
        hush()
        return UNREAD
    except OSError as error:
        mistakes = [_unusable(error)]
    for mistake in mistakes:
        complain(mistake)
    return 2


def _ended(how: str, code: int) -> int:
    complain(f"{how}: what is finished is recorded, the same command does the rest")
    return code


def _unusable(error: OSError) -> str:
    """What the system has against a path: too long a name, no permission, no room."""
    path = str(error.filename or "a file")
    shown = path if len(path) <= LONGEST else f"{path[:LONGEST]}…"
    return f"{shown} cannot be used ({error.strerror or error}): give another path, or make room for this one"


def _explained(error: CycloptsError) -> list[str]:
    """One line for each mistake in the options."""
    from pydantic import ValidationError

    from sparsebench import mistakes
    from sparsebench.cli.train import Settings

    if isinstance(error.__cause__, ValidationError):
        return mistakes.lines(error.__cause__, Settings, mistakes.option)
    command = " ".join(("sparsebench", *(error.command_chain or ())))
    told = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError):
        told = f"{command} takes no further words, given {' '.join(error.unused_tokens or ())!r}."
    return [f"{told} See `{command} --help`."]
