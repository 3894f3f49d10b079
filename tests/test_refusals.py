"""What the command line refuses: one clear line for each mistake, exit code 2, nothing written."""

from pathlib import Path

import pytest

import toy

pytest_plugins = ("command_line",)

TRAIN = ["train", "--dataset", "dots", "--recipe.batch-size", "4"]
TOY = [*TRAIN, "--backend", "toy"]

REFUSED = {
    "method": ([*TOY, "--method", "rigll"], "unknown method 'rigll': did you mean 'rigl'?"),
    "backend": ([*TRAIN, "--backend", "torhc"], "unknown backend 'torhc': did you mean 'torch'?"),
    "model": ([*TRAIN, "--model", "lenet"], "unknown model 'lenet': did you mean 'lenet-300-100'?"),
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
    "never updates": ([*TOY, "--updates.delta-t", "1000"], "never updates in 500 steps"),
    "suite": (["run", "quik"], "unknown suite 'quik': did you mean 'quick'?"),
    "suite file": (["run", "nope.toml"], "nope.toml does not exist"),
    "no suite": (["run"], "SUITE"),
    "workers": (["run", "toys.toml", "--workers", "0"], "--workers"),
    "only": (["run", "toys.toml", "--only", "method=sett"], "unknown method in --only 'sett'"),
    "no data": (["run", "toys.toml", "--data", "nope"], "--data nope: there is no such folder"),
    "no data to train": ([*TOY, "--data", "nope"], "--data nope: there is no such folder"),
    "unwritable": (["run", "toys.toml", "--records", "toys.toml"], "--records toys.toml: cannot write there"),
    "unwritable below": (["train", "--records", "toys.toml/runs"], "--records toys.toml/runs: cannot write there"),
    "no records": (["leaderboard"], "no records in runs"),
    "no records to import": (["import", "nope"], "no records in nope"),
    "format": (["leaderboard", "--format", "xml"], "xml"),
    "list": (["list", "suits"], 'Did you mean "suites"?'),
    "command": (["trian"], 'Did you mean "train"?'),
    "device": ([*TRAIN, "--device", "tpu"], "tpu"),
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
