"""Settings that were given and mean nothing: a warning each, and the run that leaves them out."""

import pytest

pytest_plugins = ("command_line",)

TRAIN = ["train", "--dataset", "dots", "--backend", "toy", "--recipe.batch-size", "4", "--recipe.steps", "40"]
CLOCK = ["--updates.delta-t", "2"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--method", "static", *CLOCK], ["--updates.delta-t"]),
        (["--method", "pruning", *CLOCK, "--updates.alpha", "0.1"], ["--updates.alpha"]),
        (["--method", "rigl", *CLOCK, "--recipe.optimizer", "adam", "--recipe.momentum", "0.5"], ["--recipe.momentum"]),
        (["--method", "rigl", *CLOCK, "--updates.alpha", "0.1", "--recipe.momentum", "0.5"], []),
    ],
)
def test_a_setting_that_means_nothing_is_a_warning(command, arguments, names):
    code, out, err = command(*TRAIN, *arguments)
    assert code == 0
    assert [line.split()[1] for line in err if line.startswith("warning: ")] == names
    assert "test accuracy" in out[1]
