"""What the command line refuses: one clear line for each mistake, exit code 2, nothing written."""

import shutil
from pathlib import Path

import pytest

import toy
from sparsebench import seals

pytest_plugins = ("command_line",)

TRAIN = ["train", "--dataset", "dots", "--recipe.batch-size", "4"]
TOY = [*TRAIN, "--backend", "toy"]

REFUSED = {
    "method": ([*TOY, "--method", "rigll"], "unknown method 'rigll': did you mean 'rigl'?"),
    "backend": ([*TRAIN, "--backend", "torhc"], "unknown backend 'torhc': did you mean 'torch'?"),
    "model": ([*TRAIN, "--model", "lenet-300"], "unknown model 'lenet-300': did you mean 'lenet-300-100'?"),
    "data set": (["train", "--dataset", "digit"], "unknown data set 'digit': did you mean 'digits'?"),
    "missing packages": ([*TRAIN, "--backend", "needy"], "pip install 'sparsebench[needy]'"),
    "broken plugin": ([*TOY, "--method", "broken"], "package 'toybox'"),
    "setting": ([*TRAIN, "--recipe.stps", "3"], "--recipe.stps. Did you mean --recipe.steps?"),
    "choice": ([*TRAIN, "--recipe.optimizer", "sdg"], "did you mean 'sgd'?"),
    "sparsity 1": ([*TRAIN, "--sparsity", "1.0"], "--sparsity: given '1.0', should be less than 1"),
    "sparsity below 0": ([*TRAIN, "--sparsity=-0.1"], "should be greater than or equal to 0"),
    "sparsity nan": ([*TRAIN, "--sparsity", "nan"], "--sparsity: given 'nan', should be"),
    "no number": ([*TRAIN, "--sparsity", "much"], "--sparsity: given 'much', should be a valid number"),
    "two lengths": ([*TRAIN, "--recipe.steps", "3", "--recipe.epochs", "1"], "exactly one of steps and epochs"),
    "batch too large": (
        ["train", "--dataset", "dots", "--backend", "toy"],
        "batch_size 128 is larger than the training set",
    ),
    "same iteration": (
        [*TOY, "--recipe.steps", "10", "--updates.begin", "0.5", "--updates.end", "0.51"],
        "iterations 5 and 5: begin must be below end",
    ),
    "not its setting": (
        [*TRAIN, "--recipe.optimizer", "adamw", "--recipe.nesterov"],
        "nesterov is for optimizer sgd, not adamw: leave it out",
    ),
    "never updates": ([*TOY, "--updates.delta-t", "1000"], "never updates in 500 steps"),
    "suite": (["run", "quik"], "unknown suite 'quik': did you mean 'quick'?"),
    "suite file": (["run", "nope.toml"], "there is no suite file nope.toml"),
    "no suite": (["run"], "SUITE"),
    "workers": (["run", "toys.toml", "--workers", "0"], "--workers"),
    "only": (["run", "toys.toml", "--only", "method=sett"], "unknown method in --only 'sett'"),
    "only nothing": (["run", "toys.toml", "--only="], "give pairs such as method=rigl"),
    "only an axis": (["run", "toys.toml", "--only", "method"], "--only 'method': give pairs such as method=rigl"),
    "too many words": (["run", "toys.toml", "more", "words"], "takes no further words, given 'more words'"),
    "no data": (["run", "toys.toml", "--data", "nope"], "--data nope: no folder is there"),
    "no data to train": ([*TOY, "--data", "nope"], "--data nope: no folder is there"),
    "unwritable": (["run", "toys.toml", "--records", "toys.toml"], "--records toys.toml: cannot write there"),
    "unwritable below": (["train", "--records", "toys.toml/runs"], "--records toys.toml/runs: cannot write there"),
    "no records": (["leaderboard"], "no records in runs"),
    "no records to import": (["import", "nope"], "no records in nope: no folder is there; give the one that"),
    "nothing to import": (["import", "."], "no records in .: give the folder that holds them"),
    "format": (["leaderboard", "--format", "xml"], "xml"),
    "list": (["list", "suits"], 'Did you mean "suites"?'),
    "command": (["trian"], 'Did you mean "train"?'),
    "device": ([*TRAIN, "--device", "tpu"], "tpu"),
    "no such device": ([*TOY, "--device", "cuda"], "'cuda' was asked for, but the toy sees none: use --device cpu"),
    "no builder": (
        [*TRAIN, "--backend", "bare"],
        "backend 'bare' cannot build model 'lenet-300-100': the model has builders for jax, torch; choose",
    ),
    "two names": ([*TOY, "--method", "alias"], "calls itself 'rigl'"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(command, folder, arguments, told):
    code, out, err = command(*arguments)
    assert (code, out, len(err)) == (2, [], 1), err
    assert err[0].startswith("error: ")
    assert told in err[0]
    assert [path.name for path in folder.iterdir()] == ["toys.toml"], "nothing is written"


def test_every_mistake_of_a_command_has_its_line(command):
    code, _, err = command(*TOY, "--sparsity", "2", "--method", "rgl", "--recipe.momentum", "1", "--seed=-1")
    assert code == 2
    assert [line.split(":")[1].strip() for line in err] == ["--method", "--sparsity", "--seed", "--recipe.momentum"]


SUITE_MISTAKES = {
    "several": (
        toy.SUITE.replace("toy", "toi")
        .replace("[0.5]", "[1.0]")
        .replace("seeds = 2", "seeds = 0")
        .replace("rigl", "rgl"),
        ["grid.methods[1]", "grid.backends[0]", "grid.sparsities[0]", "grid.seeds"],
    ),
    "not TOML": ("title =", ["toys.toml cannot be read as TOML"]),
    "a batch and two schedules": (
        toy.SUITE.replace("batch_size = 4", "batch_size = 40")
        .replace("delta_t = 2", "delta_t = 100")
        .replace('"rigl"', '"rigl", "set"'),
        ["batch_size 40 is larger", "'rigl' never updates", "'set' never updates"],
    ),
    "a batch in epochs": (
        toy.SUITE.replace("batch_size = 4", "batch_size = 40").replace("steps = 12", "epochs = 3"),
        ["batch_size 40 is larger"],
    ),
    "two schedules": (
        toy.SUITE.replace("delta_t = 2", "delta_t = 100").replace('"rigl"', '"rigl", "set"'),
        ["'rigl' never updates", "'set' never updates"],
    ),
}


@pytest.mark.parametrize(("text", "told"), SUITE_MISTAKES.values(), ids=SUITE_MISTAKES)
def test_every_mistake_of_a_suite_has_its_line(command, folder, text, told):
    Path("toys.toml").write_text(text)
    code, out, err = command("run", "toys.toml")
    assert (code, out, len(err)) == (2, [], len(told)), err
    for words, line in zip(told, err, strict=True):
        assert words in line
    assert [path.name for path in folder.iterdir()] == ["toys.toml"]


def test_what_no_backend_can_do_is_told_at_once_and_before_any_run(command, folder):
    Path("toys.toml").write_text(toy.SUITE.replace('["toy"]', '["toy", "bare"]'))
    code, out, err = command("run", "toys.toml", "--device", "cuda")
    assert (code, out) == (2, [])
    unbuildable, *absent = [line.partition(": ")[2] for line in err]
    assert unbuildable.startswith("backend 'bare' cannot build model 'lenet-300-100': ")
    assert absent == [
        "backend 'bare' cannot be started: RuntimeError: the driver is older than the library",
        "device 'cuda' was asked for, but the toy sees none: use --device cpu",
    ]
    assert [path.name for path in folder.iterdir()] == ["toys.toml"]


def test_what_is_recorded_needs_no_device(command):
    command("run", "toys.toml")
    code, out, err = command("run", "toys.toml", "--device", "cuda")
    assert (code, err, out[0]) == (0, [], "lenet-300-100 on dots")


@pytest.mark.parametrize("arguments", [["run", "toys.toml"], ["leaderboard"]])
def test_damaged_records_are_named_at_once_and_before_any_run(command, arguments):
    command("run", "toys.toml")
    lost, *damaged = sorted(path.parent for path in Path("runs").glob("*/result.json"))[:3]
    shutil.rmtree(lost)
    for path in damaged:
        (path / "layers.json").write_text("{")
        seals.write(path)
    code, out, err = command(*arguments)
    assert (code, out, len(err)) == (2, [], 2)
    for path, line in zip(damaged, err, strict=True):
        assert line.startswith(f"error: record {path} cannot be read (layers.json: ")
        assert line.endswith("remove that folder, then run or copy it again")
    assert not lost.exists()
