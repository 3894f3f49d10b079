"""The real command line, in process, on a toy backend: what is done, what is refused, and how both are told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sparsebench
import toy
from sparsebench import records
from sparsebench.aside import aside
from sparsebench.cli import board
from sparsebench.errors import UserError
from sparsebench_board import mirror

pytest_plugins = ("command_line",)


def suite_with(seeds):
    Path("toys.toml").write_text(toy.SUITE.replace("seeds = 2", f"seeds = {seeds}"))


def ids(root="runs"):
    return [path.name for path in records.paths(Path(root))]


# ---- run ------------------------------------------------------------------------------------------------------


def test_run_does_what_is_missing_and_only_that(command):
    code, out, err = command("run", "toys.toml")
    assert (code, err) == (0, [])
    assert out[0].startswith("4 of 4 runs to do")
    assert out[-1] == "next: sparsebench ui"
    assert len(ids()) == 4
    made = {id: (Path("runs") / id / "result.json").stat().st_mtime_ns for id in ids()}

    code, again, err = command("run", "toys.toml")
    assert (code, err) == (0, [])
    told = out[-len(again) - 1 :]
    assert told[-2:] == ["MLflow runs: 4 new", again[-1]]
    assert again[:-1] == told[:-2], "the same board, and nothing else"

    lost = ids()[1]
    shutil.rmtree(Path("runs") / lost)
    code, out, err = command("run", "toys.toml", "--workers", "1")
    assert (code, err) == (0, [])
    assert out[0].startswith("1 of 4 runs to do")
    assert {id for id in ids() if (Path("runs") / id / "result.json").stat().st_mtime_ns != made[id]} == {lost}


def test_plain_lines_tell_when_a_cell_is_done(command):
    _, out, _ = command("run", "toys.toml", "--workers", "1", "--records", "else where")
    told = [line for line in out if " seeds, " in line]
    assert [line.partition(":")[0] for line in told] == ["dense toy", "rigl 0.5 toy"]
    assert "2 of 2 seeds" in told[0]
    assert "2 of 2 cells" in told[1]
    assert out[-1] == "next: sparsebench ui --records 'else where'"
    assert len(ids("else where")) == 4


def test_only_runs_a_part(command):
    code, _, _ = command("run", "toys.toml", "--only", "method=rigl,seed=1")
    assert code == 0
    assert len(ids()) == 1
    assert "_rigl_0.5_toy_seed1_" in ids()[0]


def test_failures_cost_their_runs_and_are_told_last(command):
    suite_with([0, toy.USER_ERROR, toy.CRASH, toy.KILLED])
    code, _, err = command("run", "toys.toml", "--workers", "1")
    assert code == 1
    assert len(ids()) == 2
    assert len(err) == 3
    user, crash, killed = err
    assert user == "error: dense toy seed 101 and 1 more: the toy was given seed 101: give another"
    assert "RuntimeError: the toy broke (traceback in runs/workers.log)" in crash
    assert "SIGKILL" in killed
    assert "RuntimeError: the toy" in Path("runs/workers.log").read_text()
    assert not list(Path("runs").glob(".partial-*"))


def test_what_goes_wrong_in_mlflow_is_a_warning(command, monkeypatch):
    def not_installed(found, uri, artifacts):
        raise UserError("mlflow is not installed: pip install it")

    outcome = mirror.Outcome(failed=4, reasons=("no answer",))
    monkeypatch.setattr(mirror, "mirror", lambda found, uri, artifacts: outcome)
    code, out, err = command("run", "toys.toml", "--records", "r")
    assert (code, len(ids("r")), out[-1]) == (0, 4, "next: sparsebench ui --records r")
    assert err == [
        "warning: MLflow runs: 4 failed (no answer); records are complete, "
        "`sparsebench ui --records r` mirrors the rest"
    ]
    monkeypatch.setattr(mirror, "mirror", not_installed)
    assert command("run", "toys.toml")[::2] == (0, ["warning: mlflow is not installed: pip install it"])
    assert command("run", "toys.toml", "--records", "s", "--no-mlflow")[::2] == (0, [])


def running(group):
    """Processes of a group that still run, once the short-lived have had time to end; zombies are nobody's."""
    for _ in range(50):
        listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True).stdout
        found = [line for line in listed.splitlines() if line.split()[0] == str(group) and line.split()[1][0] != "Z"]
        if not found:
            return []
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("send", "number", "code", "told"),
    [
        (os.killpg, signal.SIGINT, 130, "interrupted"),  # Ctrl-C reaches the whole group
        (os.kill, signal.SIGTERM, 143, "ended by SIGTERM"),
        (os.kill, signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_an_interrupt_leaves_no_process_and_no_half_record(folder, send, number, code, told):
    suite_with([0, toy.SLOW])
    environment = os.environ | {"PYTHONPATH": f"{folder.parent / 'site'}{os.pathsep}{Path(toy.__file__).parent}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sparsebench.cli", "run", "toys.toml", "--workers", "1", "--only", "method=rigl"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    while not ids() and process.poll() is None:
        time.sleep(0.05)
    send(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert err == f"error: {told}: what is finished is recorded, the same command does the rest\n"
    assert len(ids()) == 1
    assert not list(Path("runs").glob(".partial-*"))
    assert not running(process.pid)


def test_run_sweeps_what_was_left_half_written_but_not_what_is_being_written(command):
    Path("runs/.partial-left/x").mkdir(parents=True)
    with aside(Path("runs")) as folder:
        assert command("run", "toys.toml")[0] == 0
        assert list(Path("runs").glob(".partial-*")) == [folder]


# ---- the other commands ---------------------------------------------------------------------------------------


def test_train_prints_what_it_reached_and_does_it_once(command):
    line = ["train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4", "--sparsity", "0.5"]
    code, out, err = command(*line)
    assert code == 0
    assert out[0] == "rigl 0.5 toy on dots, lenet-300-100, seed 0"
    assert "50.00 %" in out[1]
    (record,) = records.read_all(Path("runs"))
    assert record.config.recipe.steps == 500
    code, again, err = command(*line)
    assert (code, err) == (0, [])
    assert (out[-1], again) == ("MLflow runs: 1 new", ["recorded before:", *out[:-1]])


def test_train_takes_every_setting(command):
    settings = {
        "model": "lenet-300-100", "dataset": "dots", "method": "set", "backend": "toy", "sparsity": 0.8,
        "distribution": "er", "multiplier": 2.0, "seed": 5,
        "recipe.optimizer": "sgd", "recipe.momentum": 0.8, "recipe.learning-rate": 0.01, "recipe.schedule": "constant",
        "recipe.weight-decay": 0.1, "recipe.batch-size": 2, "recipe.epochs": 3, "recipe.label-smoothing": 0.1,
        "updates.delta-t": 3, "updates.alpha": 0.4, "updates.begin": 0.1, "updates.end": 0.9,
        "updates.anneal": "constant",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    code, _, _ = command("train", *options, "--recipe.nesterov", "--records", "r")
    assert code == 0
    (record,) = records.read_all(Path("r"))
    config = record.config.model_dump() | {"recipe.nesterov": True}
    flat = {f"{table}.{name}": value for table in ("recipe", "updates") for name, value in config[table].items()}
    assert flat["recipe.nesterov"] is True
    assert flat.pop("recipe.epochs") is None
    assert flat["recipe.steps"] == 3 * 8 * 2
    del settings["recipe.epochs"]
    for name, value in settings.items():
        assert (config | flat)[name.replace("-", "_")] == value


def test_train_help_teaches(command):
    _, out, _ = command("train", "--help")
    text = " ".join(" ".join(out).replace("│", " ").split())
    for words in (
        "--sparsity", "share of prunable weights that are inactive, in [0, 1)", "[default: 0.9]",
        "--recipe.optimizer", "[choices: sgd, adam, adamw]", "--updates.delta-t", "the method's own",
        "see sparsebench list methods",
    ):  # fmt: skip
        assert words in text


def test_leaderboard_of_a_suite_leaves_out_the_rest(command):
    command("run", "toys.toml")
    command("train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4", "--sparsity", "0.7")
    _, everything, _ = command("leaderboard", "--format", "json")
    _, suite, _ = command("leaderboard", "--format", "json", "--suite", "toys.toml")
    assert (len(json.loads("\n".join(everything))), len(json.loads("\n".join(suite)))) == (3, 2)


@pytest.mark.parametrize("format", ["table", "md", "csv"])
def test_leaderboard_formats(command, format):
    command("run", "toys.toml")
    code, out, err = command("leaderboard", "--format", format)
    assert (code, err) == (0, [])
    assert any("rigl" in line for line in out)


def test_ui_mirrors_and_then_serves(command, monkeypatch):
    command("run", "toys.toml")
    served = []
    monkeypatch.setattr(board, "serve", lambda *arguments: served.append(arguments))
    code, out, err = command("ui", "--port", "5001")
    assert (code, out, err) == (0, ["MLflow runs: 4 new"], [])
    assert served == [(Path("runs"), "127.0.0.1", 5001)]


def test_ui_has_nothing_to_show_of_an_empty_folder(command, monkeypatch):
    monkeypatch.setattr(board, "serve", lambda *arguments: None)
    code, _, err = command("ui", "--records", ".")
    assert code == 2
    assert err[0].startswith("error: no records in .: there is nothing to show yet")


@pytest.mark.parametrize("what", ["methods", "backends", "models", "datasets", "suites"])
def test_list_has_a_line_for_each(command, what):
    code, out, err = command("list", what)
    assert code == 0
    names = [line.split()[0] for line in out]
    assert names == sorted(names)
    assert all(len(line.split()) > 1 for line in out)
    assert all(line.startswith("warning: ") for line in err)


def test_a_broken_plugin_is_a_warning_in_the_list(command):
    _, out, err = command("list", "methods")
    assert any(line.startswith("rigl ") for line in out)
    assert [line.split()[2] for line in err] == ["'alias'", "'broken'", "'wrong'"]


def test_import_copies_what_is_missing_once(command):
    command("run", "toys.toml", "--records", "there")
    shutil.copytree(Path("there") / ids("there")[0], Path("runs") / ids("there")[0])
    code, out, err = command("import", "there")
    assert (code, err) == (0, [])
    assert out[0] == "4 records read, 3 new, 1 were here"
    assert [record.result for record in records.read_all(Path("runs"))] == [
        record.result for record in records.read_all(Path("there"))
    ]
    assert command("import", "there")[1][0] == "4 records read, 0 new, 4 were here"


@pytest.mark.parametrize(
    "name", ["result.json", "events.jsonl", "masks.safetensors", "weights.safetensors", "SHA256SUMS"]
)
def test_import_of_a_damaged_record_copies_nothing(command, name):
    command("run", "toys.toml", "--records", "there")
    path = Path("there") / ids("there")[-1] / name
    path.write_bytes(path.read_bytes()[:-20])
    code, out, err = command("import", "there")
    assert (code, out, len(err)) == (2, [], 1)
    assert ids("there")[-1] in err[0]
    assert not Path("runs").exists()


@pytest.mark.parametrize(("reader", "code", "err"), [(None, 141, ""), ("/dev/full", 2, "error: standard output")])
def test_output_that_nobody_takes(command, reader, code, err):
    command("run", "toys.toml")
    if reader and not Path(reader).exists():
        pytest.skip(f"no {reader} here")
    out, ours = (None, os.open(reader, os.O_WRONLY)) if reader else os.pipe()
    if out:
        os.close(out)
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench.cli", "leaderboard"], stdout=ours, stderr=subprocess.PIPE, text=True
    )
    os.close(ours)
    assert done.returncode == code
    assert done.stderr.startswith(err)
    assert len(done.stderr.splitlines()) == bool(err)


# ---- help -----------------------------------------------------------------------------------------------------


def test_version(command):
    assert command("--version") == (0, [sparsebench.__version__], [])


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from sparsebench.cli import main; main(['--help']);"
        "sys.exit(', '.join({'pydantic', 'numpy', 'torch', 'jax', 'mlflow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
    assert "leaderboard" in done.stdout
