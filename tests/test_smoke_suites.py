"""The suites of the published recipes, and a few of their steps on real data."""

from pathlib import Path

import pytest

from sparsebench import plugins, records, suite
from sparsebench.cli import main
from sparsebench.errors import UserError

DATA = Path(__file__).parents[2] / "shared" / "data"
LENGTHS = {"learning_rate", "milestones", "warmup", "batch_size", "accumulation", "steps", "evaluations", "image_size"}
"""What a smoke suite may change of the recipe it stands for."""


@pytest.mark.parametrize("name", ["cifar10", "imagenet", "mobilenet"])
def test_a_smoke_suite_is_its_suites_recipe_with_every_method(name):
    whole, smoke = (suite.load(each) for each in (name, f"{name}-smoke"))
    assert whole.task.model == smoke.task.model
    recipes = [each.recipe.model_dump(exclude=LENGTHS) for each in (whole, smoke)]
    assert recipes[0] == recipes[1]
    successors = set(suite.load("successors-smoke").grid.methods)
    assert set(smoke.grid.methods) == set(plugins.names("methods")) - successors > set(whole.grid.methods)
    assert set(smoke.grid.backends) == {"torch", "jax"}
    assert len(smoke.grid.sparsities) == 1


def test_successors_have_a_smoke_suite_of_their_own():
    smoke, cifar10 = (suite.load(name) for name in ("successors-smoke", "cifar10-smoke"))
    assert (smoke.task, smoke.recipe, smoke.updates) == (cifar10.task, cifar10.recipe, cifar10.updates)
    assert set(smoke.grid.methods) <= set(suite.load("successors").grid.methods)


def test_the_recipes_are_the_published_ones():
    cifar10, imagenet, mobilenet = (suite.load(name).recipe for name in ("cifar10", "imagenet", "mobilenet"))
    assert (cifar10.batch_size, cifar10.steps, cifar10.weight_decay) == (128, 97656, 5e-4)
    assert (cifar10.learning_rate, cifar10.milestones, cifar10.decay) == (0.1, (30000, 60000, 90000), 0.2)
    assert (imagenet.batch_size, imagenet.steps, imagenet.weight_decay) == (4096, 32000, 1e-4)
    assert (imagenet.learning_rate, imagenet.label_smoothing, imagenet.decay) == (1.6, 0.1, 0.1)
    epoch = 1_281_167 / 4096
    for recipe, warmup, falls in ((imagenet, 5, (30, 70, 90)), (mobilenet, 8, (40, 75, 95))):
        assert recipe.warmup == pytest.approx(warmup * epoch, abs=1)
        assert recipe.milestones == pytest.approx([fall * epoch for fall in falls], abs=1)
    for recipe in (cifar10, imagenet, mobilenet):
        assert (recipe.momentum, recipe.nesterov) == (0.9, True)
    assert suite.load("cifar10").updates.end == pytest.approx(75000 / 97656, abs=1e-5)
    assert suite.load("imagenet").updates.end == 25000 / 32000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "folder"), [("cifar10-smoke", "cifar10"), ("imagenet-smoke", "imagenette-224-mini")])
def test_real_steps_agree_in_both_frameworks(name, folder, tmp_path, monkeypatch, capsys):
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs {folder} in ../shared/data, which is not there")
    for backend in ("torch", "jax"):
        try:
            plugins.load("backends", backend)
        except UserError as error:
            pytest.skip(str(error))
    place = ["--data", str(DATA / folder), "--records", str(tmp_path / "runs"), "--no-mlflow"]
    assert main(["run", name, *place, "--only", "method=rigl"]) == 0, capsys.readouterr().err
    first, second = records.read_all(tmp_path / "runs")
    assert {first.config.backend, second.config.backend} == {"torch", "jax"}
    assert first.result["training_flops"] == second.result["training_flops"]
    assert [row["active"] for row in first.layers] == [row["active"] for row in second.layers]
    losses = [[event["loss"] for event in each.events() if event["kind"] == "train"] for each in (first, second)]
    half = first.config.recipe.precision == "bfloat16"
    assert losses[0][0] == pytest.approx(losses[1][0], abs=1e-2 if half else 1e-4)
    assert losses[0] == pytest.approx(losses[1], abs=0.1)
    assert any(event["kind"] == "update" for event in first.events())
