"""Commands on runs that diverge: the suite goes on, nothing is done twice, and what needs the network is refused."""

import json
from pathlib import Path

import toy
from sparsebench import records
from sparsebench.divergence import Divergence
from test_resume import same

pytest_plugins = ("command_line",)

LOST = f"seed {toy.DIVERGING} at iteration {toy.DIVERGED_AT} (training loss nan)"


def suite(methods='"dense", "rigl"', seeds=f"[0, 1, {toy.DIVERGING}]", more=""):
    text = toy.SUITE.replace("seeds = 2", f"seeds = {seeds}").replace('"dense", "rigl"', methods)
    Path("toys.toml").write_text(text + more)


def recorded(method="static"):
    """The run of a method that diverged."""
    (path,) = Path("runs").glob(f"*_{method}_*_seed{toy.DIVERGING}_*")
    return path


def test_the_rest_of_a_suite_is_complete_and_again_does_nothing(command):
    suite()
    code, out, err = command("run", "toys.toml", "--workers", "1")
    assert code == 0, "nothing is missing"
    assert err == [
        f"warning: 2 of 6 runs diverged, and their cells rank with nothing: dense toy {LOST}; rigl 0.5 toy {LOST}; "
        "lower the learning rate, or leave those cells as they are"
    ]
    assert [line.partition(" steps/s")[0].rpartition(", ")[0] for line in out if "of 3 seeds" in line] == [
        "dense toy: 3 of 3 seeds, 1 diverged", "rigl 0.5 toy: 3 of 3 seeds, 1 diverged",
    ]  # fmt: skip
    made = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/result.json")}
    assert len(made) == 6
    code, again, told = command("run", "toys.toml", "--workers", "1")
    assert (code, told) == (0, err)
    board = out[out.index("lenet-300-100 on dots") :]
    assert again == [line for line in board if line != "MLflow runs: 6 new"], "the same board, and nothing else"
    assert {path: path.stat().st_mtime_ns for path in made} == made

    _, out, _ = command("leaderboard", "--format", "json")
    rows = json.loads("\n".join(out))
    assert [(row["seeds"], row["diverged"], row["missing"]) for row in rows] == 2 * [([0, 1], [toy.DIVERGING], [])]
    _, out, _ = command("run", "toys.toml", "--dry-run", "--format", "json")
    plan = json.loads("\n".join(out))
    assert [(cell["to_do"], cell["diverged"]) for cell in plan["cells"]] == [(0, 1), (0, 1)]
    assert plan["totals"]["diverged"] == 2
    _, out, _ = command("run", "toys.toml", "--dry-run")
    assert "2 of the recorded runs diverged: what is told of them is what they were to cost" in out


def trained(command, *more, method="static"):
    return command(
        "train", "--method", method, "--backend", "toy", "--dataset", "dots", "--seed", toy.DIVERGING,
        "--recipe.steps", "12", "--recipe.batch-size", "4", *more,
    )  # fmt: skip


def test_train_says_so_and_its_exit_code_is_1(command):
    code, out, err = trained(command)
    assert (code, err) == (1, [])
    assert f"  test accuracy  none: the run diverged at iteration {toy.DIVERGED_AT}: the training loss is nan" in out
    assert any("12 steps were to be" in line for line in out)
    code, again, _ = trained(command)
    assert (code, again[0]) == (1, "recorded before:")


def test_what_needs_its_network_is_refused(command):
    trained(command)
    path = recorded()
    code, _, err = command("export", path)
    assert code == 2
    assert err[0].startswith(
        f"error: record {path} diverged at iteration 5: the training loss is nan; it has no network"
    )
    code, _, err = trained(command, "--ticket.source", path.name)
    assert code == 2
    assert err == [
        f"error: the run that its ticket is to come from, {path.name}, diverged at iteration 5: the training loss is "
        "nan; there is no mask to start from: ask for another source, or lower the learning rate of both"
    ]
    assert command("compare", path, path)[0] == 0


def test_runs_that_wait_for_its_ticket_fail_each_with_a_line(command):
    suite('"lottery"', f"[{toy.DIVERGING}]", "[search]\nremove = 0.4\n")
    code, _, err = command("run", "toys.toml", "--workers", "1")
    assert code == 1
    assert len(err) == 2
    assert "the run that its ticket is to come from, dots_lenet-300-100_dense_0_toy_seed105_" in err[0]
    assert err[1].endswith(
        "the run that its ticket was to come from failed: mend that one, then run the same command again"
    )
    _, out, _ = command("run", "toys.toml", "--dry-run")
    assert "2 of the runs to do start from a ticket of a run that diverged: they will fail" in out


def test_import_takes_it_in_whole(command):
    trained(command, "--sparsity", "0", "--rewind", "8", method="dense")
    path = recorded("dense")
    assert not (path / "rewind.safetensors").exists(), "it did not come so far"
    code, out, _ = command("import", "runs", "--records", "there", "--no-mlflow")
    assert (code, out[0]) == (0, "1 records read, 1 new, 0 were here")
    taken = records.read(Path("there") / path.name)
    assert taken.diverged == Divergence(toy.DIVERGED_AT, "train", "loss", "nan")
    assert same(path, taken.path) == []
