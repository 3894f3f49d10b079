"""Kills training processes, 100 for each backend, and holds what they end with against runs that were never killed.

SIGKILL comes at drawn moments before, in and after training, mask updates, evaluations, and the writing and reading of
checkpoints and of the record; every seventh time the newest checkpoint is then damaged too. What a child is doing it
tells through a pipe, from functions that are wrapped here: the library knows nothing of it. A run is begun again after
each kill; in the end weights, masks, events, FLOPs and accuracies must be the same to the bit. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from differing import differences
from killed import configs
from sparsebench import checkpoints, records, redoing, runner
from sparsebench.aside import sweep
from sparsebench.asked import Search, asked
from sparsebench.cli.work import prepare_all
from sparsebench.config import RunConfig
from sparsebench.prepare import Prepared

KINDS = ("train", "update", "evaluate", "write", "read", "record")
EDGES = ("before", "in", "after")
FAR = 6
"""Up to which occurrence of its kind a moment is drawn: far enough to get on, near enough to be killed often."""
KILLS = 9
"""Of one run, before it may end."""
DAMAGE = 1 / 7
ALONE = {
    "OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}  # fmt: skip
"""Without the first two NumPy and Arrow, which digits are read by, start threads when they are imported."""
WARM = ("safetensors.numpy", "sparsebench_models.lenet_{0}", "sparsebench_models.small_conv_{0}")
FRAMEWORK = {
    "torch": ("torch._dynamo", "sparsebench_torch.trainer", *(name.format("torch") for name in WARM)),
    "jax": ("sparsebench_jax.trainer", *(name.format("flax") for name in WARM)),
}
"""What is imported once, for all children of a backend."""


@dataclass(frozen=True)
class Moment:
    """The n-th time that a child does something: just before, just after, or once `delay` of what it takes is over."""

    kind: str
    count: int
    edge: str
    delay: float = 0.0


@dataclass
class Tally:
    """What happened in all runs of a backend."""

    landed: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    kills: int = 0
    runs: int = 0
    damaged: int = 0
    failures: list[str] = field(default_factory=list[str])
    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.005]))
    """Seconds of each kind of work so far, which delays are shares of."""


@dataclass
class Child:
    """One process that trains: what it told, and whether it was killed."""

    told: list[str]
    landed: tuple[str, str] | None


# ---- the child --------------------------------------------------------------------------------------------------


def train(prepared: Prepared, root: Path, every: float, doom: Moment | None, pipe: int) -> None:
    """The run, telling before and after what it does; where it is to be killed at such a moment it waits for that."""

    def tell(line: str) -> None:
        os.write(pipe, f"{line}\n".encode())

    def telling(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        counts = itertools.count(1)

        def moment(count: int, edge: str) -> None:
            tell(f"{kind} {count} {edge}")
            if doom == Moment(kind, count, edge):
                signal.pause()

        def wrapped(*given: Any, **named: Any) -> Any:
            count = next(counts)
            moment(count, "before")
            result = function(*given, **named)
            moment(count, "after")
            return result

        return wrapped

    sweep(root)  # this, too, as every command does that trains
    redoing.sweep(root)
    if not redoing.is_due(root, prepared.id):
        return
    trainer = runner.trainer_of(prepared.backend, "cpu")
    for owner, kind, name in (
        (trainer, "train", "train"), (trainer, "update", "update"), (trainer, "evaluate", "evaluate"),
        (checkpoints, "write", "write"), (checkpoints, "read", "latest"), (records, "record", "write"),
    ):  # fmt: skip
        setattr(owner, name, telling(kind, getattr(owner, name)))
    runner.run(prepared, root, keep=runner.Keep(every, lambda line: tell(f"told {line}")))


def fork(prepared: Prepared, root: Path, every: float, doom: Moment | None) -> tuple[int, int]:
    """(process, the pipe's end) of a child. Safe, since this process has one thread and has run nothing of a framework.

    Raises:
        RuntimeError: it has more threads.
    """
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise RuntimeError(f"{threads} threads are running: a child of such a process may wait for ever")
    end, pipe = os.pipe()
    if process := os.fork():
        os.close(pipe)
        return process, end
    try:
        train(prepared, root, every, doom, pipe)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


# ---- the parent -------------------------------------------------------------------------------------------------


def attend(prepared: Prepared, root: Path, every: float, doom: Moment | None, tally: Tally) -> Child:
    """Begin the run, or go on with it, until it is killed at its moment or is over.

    Raises:
        RuntimeError: it ended with an error.
    """
    process, end = fork(prepared, root, every, doom)
    told: list[str] = []
    began, last = 0.0, ("", "")
    with os.fdopen(end) as pipe:
        for line in map(str.strip, pipe):
            if line.startswith("told "):
                told.append(line)
                continue
            now, (kind, count, edge) = time.perf_counter(), line.split()
            last = (kind, "in" if edge == "before" else edge)
            if edge == "before":
                began = now
            else:
                tally.took[kind].append(now - began)
            if doom and (kind, int(count)) == (doom.kind, doom.count) and edge == doom.edge.replace("in", "before"):
                last = (kind, doom.edge) if doom.edge != "in" else last
                time.sleep(doom.delay * float(np.median(tally.took[kind])))
                os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{prepared.id} ended with {status}")
    return Child(told, last if status else None)


def drawn(generator: np.random.Generator) -> Moment:
    """A moment of each kind and edge, equally often."""
    kind = KINDS[generator.integers(len(KINDS))]
    edge = EDGES[generator.integers(len(EDGES))]
    count = 1 if kind in ("read", "record") else int(generator.integers(1, FAR + 1))
    return Moment(kind, count, edge, float(generator.uniform(0, 1)) if edge == "in" else 0.0)


def damage(place: Path, generator: np.random.Generator) -> Path | None:
    """Flip a bit of the newest checkpoint, or tear one of its files; returns it, if there is one."""
    found = sorted(path for path in place.glob("*") if path.name.isdigit())
    if not found:
        return None
    files = sorted(found[-1].iterdir())
    file = files[generator.integers(len(files))]
    content = bytearray(file.read_bytes())
    at = int(generator.integers(len(content)))
    if generator.integers(2):
        content[at] ^= 1 << int(generator.integers(8))
    else:
        del content[at:]
    file.write_bytes(content)
    return found[-1]


def run(
    prepared: Prepared, straight: Path, root: Path, kills: int, tally: Tally, generator: np.random.Generator
) -> None:
    """One run, killed up to so many times and then let end, against `straight`, the record of it that was not."""
    damaged, told = set[Path](), list[str]()
    for k in range(kills + 1):
        child = attend(prepared, root, 0.0, drawn(generator) if k < kills else None, tally)
        told += child.told
        if child.landed is None:
            break
        tally.kills += 1
        tally.landed[child.landed] += 1
        recorded = (root / prepared.id / "result.json").is_file()  # then nobody reads its checkpoints any more
        if (
            generator.random() < DAMAGE
            and not recorded
            and (hurt := damage(checkpoints.folder(root, prepared.id), generator))
        ):
            tally.damaged += hurt not in damaged
            damaged.add(hurt)
    tally.runs += 1
    named = {path for path in damaged if any(str(path) in line for line in told)}
    tally.failures += [f"{prepared.id}: nobody told that {path} was damaged" for path in damaged - named]
    strange = [line for line in told if not any(str(path) in line for path in damaged)]
    tally.failures += [f"{prepared.id}: {line}" for line in strange]
    tally.failures += [f"{prepared.id}: {line}" for line in differences(straight, root / prepared.id)]
    left = sorted(path.name for path in root.iterdir() if path.name.startswith("."))
    tally.failures += [f"{prepared.id}: {name} is left" for name in left]


def stress(backend: str, kills: int, generator: np.random.Generator, place: Path) -> Tally:
    """So many kills of this backend's runs."""
    for name in FRAMEWORK[backend]:
        importlib.import_module(name)
    tally = Tally()
    for n, prepared in enumerate(itertools.cycle(prepared_runs(backend, place / "straight", tally))):
        root = place / str(n)
        sources(prepared.config, place / "straight", root)
        run(prepared, place / "straight" / prepared.id, root, min(KILLS, kills - tally.kills), tally, generator)
        shutil.rmtree(root)
        if tally.kills >= kills:
            return tally
    raise AssertionError("a cycle has no end")


def sources(config: RunConfig, straight: Path, root: Path) -> None:
    """Copy the records that a run's ticket comes from."""
    while config.ticket:
        shutil.copytree(straight / config.ticket.source, root / config.ticket.source)
        config = records.read(straight / config.ticket.source).config


def prepared_runs(backend: str, straight: Path, tally: Tally) -> Iterator[Prepared]:
    """Every run, once it and those before it have been trained without a checkpoint and without a kill."""
    for config in configs(backend):
        entries = prepare_all([asked(config, Search(remove=0.5))], None, straight)
        for entry in entries:
            attend(entry.prepared, straight, float("inf"), None, tally)
        yield entries[-1].prepared


def table(backend: str, tally: Tally, seconds: float) -> Iterator[str]:
    """What happened, for people."""
    yield f"{backend}: {tally.kills} kills of {tally.runs} runs in {seconds:.0f} s"
    yield f"  {'':10}" + "".join(f"{edge:>8}" for edge in EDGES)
    for kind in KINDS:
        yield f"  {kind:10}" + "".join(f"{tally.landed[kind, edge]:8}" for edge in EDGES)
    yield f"  went back to the checkpoint before {tally.damaged} times, for as many damaged ones"
    yield f"  {len(tally.failures)} differences"
    yield from (f"  {line}" for line in tally.failures)


def main() -> int:
    """0 if no run differs from the one that was not killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="for each backend")
    parser.add_argument("--backend", nargs="*", choices=tuple(FRAMEWORK), default=tuple(FRAMEWORK))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    failed = False
    for backend in options.backend:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            tally = stress(backend, options.kills, np.random.default_rng(options.seed), Path(place))
        print("\n".join(table(backend, tally, time.perf_counter() - began)), flush=True)
        failed |= bool(tally.failures)
    return int(failed)


if __name__ == "__main__":
    if not ALONE.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALONE)
    sys.exit(main())
