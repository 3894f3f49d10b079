"""Damaged suites, records, checkpoints and documents: the right result or a line and code 2, and nothing half-written.

`SPARSEBENCH_FUZZ=50` makes fifty times as many examples, other ones each time.
"""

import io
import json
import os
import shutil
import tempfile
import tomllib
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toy
from damage import damaged, mutated, spoilt, toml_file
from sparsebench import checkpoints, index, records, runner, seals
from sparsebench.asked import Asked
from sparsebench.cli import main
from sparsebench.cli.work import prepare_all
from wrong_world import TRAIN, listed

pytest_plugins = ("wrong_world",)
pytestmark = pytest.mark.usefixtures("watchdog")

FACTOR = int(os.environ.get("SPARSEBENCH_FUZZ", "1"))
SUITE = tomllib.loads(toy.SUITE) | {
    "variant": {"long": {"recipe": {"steps": 24}}},
    "method": {"rigl": {"alpha": 0.4}},
    "search": {"remove": 0.5},
    "policy": {"stem": "dense"},
    "also": [
        {"methods": ["rigl"], "backends": ["toy"], "sparsities": [0.5, 0.9], "variants": ["long"], "seeds": [1],
         "updates": {"alpha": [0.2, 0.3]}, "tickets": [{"method": "lottery", "mask": "shuffled"}]}
    ],
}  # fmt: skip
COMMANDS = (
    "leaderboard", "leaderboard --view tied", "leaderboard --view frameworks --format json", "compare RIGL DENSE",
    "compare DENSE RIGL", "export RIGL --to net", "import runs --records new --no-mlflow",
    "run toys.toml --only method=rigl,seed=0 --no-mlflow", f"{TRAIN} rigl", "plot movement", "plot curves",
    "plot layers", "plot sparsity", "leaderboard --html site",
)  # fmt: skip


def examples(count):
    """So many, and more of them where it is asked for."""
    return settings(
        max_examples=count * FACTOR, derandomize=FACTOR == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


@contextmanager
def copied(folder):
    """A copy of a folder to work in."""
    with tempfile.TemporaryDirectory() as place:
        work = shutil.copytree(folder, Path(place) / "work")
        before = os.getcwd()
        os.chdir(work)
        try:
            yield work
        finally:
            os.chdir(before)


def outcome(arguments):
    """(exit code, output, errors) of a command that ends as it may: well, or with lines that say what is wrong."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    lines = err.getvalue().splitlines()
    assert code in (0, 2) or (code == 1 and arguments[0] == "compare"), err.getvalue()
    assert all(line.startswith(("error: ", "warning: ")) and line.isprintable() for line in lines), lines
    if code == 2:
        assert out.getvalue() == ""
        assert lines
    return code, out.getvalue(), lines


def put(path, content):
    """The file, or nothing in its place."""
    path.unlink() if content is None else path.write_bytes(content)


# ---- suites ---------------------------------------------------------------------------------------------------


@examples(60)
@given(mutated(SUITE).map(toml_file) | damaged(toy.SUITE.encode()))
def test_suites(world, text):
    with copied(world.folder) as work:
        before = listed(work)
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (work / "fuzz.toml").write_bytes(content)
        outcome(["leaderboard", "--suite", "fuzz.toml"])
        (work / "fuzz.toml").unlink()
        assert listed(work) == before


# ---- records --------------------------------------------------------------------------------------------------


@examples(40)
@given(st.data(), st.sampled_from(COMMANDS))
def test_records(world, data, line):
    with copied(world.folder) as work:
        record = work / "runs" / world.rigl
        if not (sealed := data.draw(st.booleans())):  # as older versions made them: what is there is all that tells
            (record / seals.NAME).unlink()
        name = data.draw(st.sampled_from(sorted(path.name for path in record.iterdir())))
        was, now = (record / name).read_bytes(), data.draw(_recorded(name, (record / name).read_bytes()))
        put(record / name, now)
        before = listed(work)
        code, _, _ = outcome(world.words(line.split()))
        after = listed(work)
        assert {path: after.get(path) for path in before} == before, "what was there has changed"
        assert code != 2 or after == before, "something was written"
        assert not [path for path in after if ".partial-" in path]
        if sealed and now != was and (name, now) != (seals.NAME, None) and line.startswith("import"):
            assert code == 2, "what was not written was taken in"
        if code == 0 and line.startswith("import"):
            assert outcome(["leaderboard", "--records", "new", "--format", "json"])[0] == 0


def _recorded(name, content):
    """One of a record's files, damaged."""
    return damaged(content) | st.none() if name == seals.NAME else spoilt(name, content)


@examples(20)
@given(st.data())
def test_the_index_of_records(world, data):
    with copied(world.folder) as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "SETTLED", -(10**18))
        board = outcome(["leaderboard", "--format", "json"])
        path = work / "runs" / index.NAME
        content = path.read_bytes()
        _, _, inside = content.partition(b"\n")
        other = data.draw(damaged(content) | mutated(json.loads(inside)).map(lambda tree: json.dumps(tree).encode()))
        path.write_bytes(other)
        assert outcome(["leaderboard", "--format", "json"]) == board


# ---- checkpoints ----------------------------------------------------------------------------------------------


class CutError(Exception):
    """The run ends here."""


@pytest.fixture(scope="module")
def interrupted(world, tmp_path_factory):
    """A working folder where one of the runs lacks its record and has two checkpoints, and what its record was."""
    folder = shutil.copytree(world.folder, tmp_path_factory.mktemp("cut") / "work")
    record = records.read(folder / "runs" / world.rigl)
    kept = (record.weights(), record.masks(), _told(record))
    (run,) = prepare_all([Asked(record.config)], None, folder / "none")
    shutil.rmtree(folder / "runs" / world.rigl)

    def cut(done, steps):
        if done >= 9:
            raise CutError

    with pytest.raises(CutError):
        runner.run(run.prepared, folder / "runs", progress=cut, keep=runner.Keep(0))
    assert len(list(checkpoints.folder(folder / "runs", world.rigl).glob("0*"))) == 2
    return folder, kept


def _told(record):
    return [{name: value for name, value in event.items() if name != "seconds"} for event in record.events()]


@examples(25)
@given(st.data())
def test_checkpoints(world, interrupted, data):
    folder, (weights, masks, events) = interrupted
    with copied(folder) as work:
        runs = work / "runs"
        kept = sorted(path for path in checkpoints.folder(runs, world.rigl).glob("0*/*"))
        for path in data.draw(st.lists(st.sampled_from(kept), min_size=1, max_size=3, unique=True)):
            put(path, data.draw(_checkpointed(path.name, path.read_bytes())))
        code, _, lines = outcome([*TRAIN.split(), "rigl"])
        assert code == 0, lines
        record = records.read(runs / world.rigl)
        assert _told(record) == events
        for found, wanted in ((record.weights(), weights), (record.masks(), masks)):
            assert found.keys() == wanted.keys()
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def _checkpointed(name, content):
    """One of a checkpoint's files, damaged; its progress is a digest before JSON."""
    return damaged(content) | st.none() if name == checkpoints.PROGRESS else spoilt(name, content)


@examples(15)
@given(st.data())
def test_checkpoints_that_somebody_sealed_again(world, interrupted, data):
    with copied(interrupted[0]) as work:
        kept = checkpoints.folder(work / "runs", world.rigl)
        for path in kept.glob(f"0*/{checkpoints.PROGRESS}"):
            _, _, text = path.read_text().partition("\n")
            forged = json.dumps(data.draw(mutated(json.loads(text))))
            path.write_text(f"{checkpoints._digest(forged.encode())}\n{forged}\n")
        code, _, _ = outcome([*TRAIN.split(), "rigl"])
        assert code == 2 or records.read(work / "runs" / world.rigl).id == world.rigl
        assert not list((work / "runs").glob(".partial-*"))
