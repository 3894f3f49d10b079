"""Training timm's models: the start is timm's own, masks are exact, costs without a count are unknown, never small."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sparsebench import ledger, plugins
from sparsebench.config import Recipe, RunConfig, Updates
from sparsebench.conformance import oracle
from sparsebench.errors import UserError
from sparsebench.forecast import forecast
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.snfs import snfs
from sparsebench.models import Input, initial_weights
from sparsebench.prepare import prepare
from tasks import begin, bits, images, short, task, trainer_on, walk

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest_plugins = ("command_line",)

import timm_nets  # noqa: E402, F401

STEPS = 8
SMALL = Input((3, 32, 32), 4)
SIZES = {"test_vit_relpos": 160}
NETS = (
    "test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_vit_relpos",
    "sparsebench_shared", "sparsebench_mixed", "sparsebench_dropping",
)  # fmt: skip


def model(name):
    return plugins.load("models", f"timm/{name}")


def job(name, **recipe):
    size = SIZES.get(name, 32)
    return task(model(name), STEPS, images((3, size, size), train=24, test=8), learning_rate=0.01, **recipe)


def table(name):
    return {layer.name: layer for layer in model(name).layers(SMALL)}


# ---- the start ------------------------------------------------------------------------------------------------


def test_the_initial_state_is_timms_own():
    generator = np.random.Generator(np.random.Philox(key=5))
    seed = int(np.random.Generator(np.random.Philox(key=5)).integers(2**63))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    state = model("test_resnet").initial(SMALL, generator)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(seed)
    theirs = timm.create_model("test_resnet", num_classes=4)
    assert state.keys() == dict(theirs.named_parameters()).keys()
    assert all((state[name] == value.detach().numpy()).all() for name, value in theirs.named_parameters())
    assert {array.dtype for array in state.values()} == {np.dtype(np.float32)}


def test_seeds_are_paired_and_differ():
    first, again, other = (initial_weights(model("test_vit"), SMALL, seed) for seed in (0, 0, 1))
    assert bits(first) == bits(again)
    assert (first["blocks.0.attn.qkv.weight"] != other["blocks.0.attn.qkv.weight"]).any()


def test_what_is_no_float32_is_refused():
    with pytest.raises(UserError, match=r"has 'phase' in torch\.complex64: only float32 is trained"):
        initial_weights(model("sparsebench_complex"), SMALL, 0)


# ---- training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_masks_are_exact_and_weights_zero_outside(name):
    trainer, method, run = trainer_on("torch"), short(rigl), job(name)
    expected = {layer.name: oracle.active(layer.size, 0.8) for layer in run.prunable}
    start = trainer.masks(begin(trainer, run, method, 0.8))
    for _, loss, state in walk(trainer, run, method, 0.8):
        masks, weights = trainer.masks(state), trainer.weights(state)
        assert {layer: int(mask.sum()) for layer, mask in masks.items()} == expected
        assert all((weights[f"{layer}.weight"][~mask] == 0).all() for layer, mask in masks.items())
        assert np.isfinite(loss)
    assert any((masks[layer] != mask).any() for layer, mask in start.items()), "connections have moved"


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit_relpos", "sparsebench_shared", "sparsebench_dropping"])
def test_continuing_equals_never_having_stopped(name):
    trainer, method, run = trainer_on("torch"), short(snfs), job(name)
    whole = [(loss, bits(trainer.snapshot(state))) for _, loss, state in walk(trainer, run, method, 0.8)]
    *_, (_, _, state) = islice(walk(trainer, run, method, 0.8), 5)
    arrays = trainer.snapshot(state)
    torch.manual_seed(7)
    rest = walk(trainer, run, method, 0.8, state=trainer.restore(run, arrays), start=5)
    assert [(loss, bits(trainer.snapshot(state))) for _, loss, state in rest] == whole[5:]


def test_what_is_dropped_differs_from_step_to_step_and_seed_to_seed():
    trainer, run = trainer_on("torch"), task(model("sparsebench_dropping"), STEPS, images((3, 8, 8), train=8, test=8))

    def losses(seed):
        state, feed = begin(trainer, run, dense, 0.0), run.feed(seed)
        return trainer.train(state, dense, feed, 0, 2)[1].losses

    assert losses(1)[0] == losses(1)[0] != losses(2)[0]  # one batch holds the whole training set


# ---- layers that are not as usual -----------------------------------------------------------------------------


def test_shared_weights_are_one_layer():
    found = table("sparsebench_shared")
    assert list(found) == ["stem", "again", "first", "fc"]
    assert found["again"].macs == 2 * 8 * 8 * 9 * 32 * 32
    assert found["first"].macs == 2 * 8 * 8 * 32 * 32
    assert ledger.dense(tuple(found.values())) == trainer_on("torch").count(job("sparsebench_shared")).forward


def test_grouped_convolutions_are_sparse_and_other_dimensions_are_not():
    found = table("sparsebench_mixed")
    assert {name: (each.kind, each.role, each.shape) for name, each in found.items()} == {
        "stem": ("conv", "stem", (8, 3, 3, 3)),
        "grouped": ("conv", "body", (16, 4, 3, 3)),
        "depthwise": ("conv", "depthwise", (16, 1, 3, 3)),
        "fc": ("linear", "classifier", (4, 8)),
        "flat": ("other", "body", (0,)),
        "deep": ("other", "body", (0,)),
    }
    assert [layer.name for layer in job("sparsebench_mixed").prunable] == ["stem", "grouped", "depthwise", "fc"]


@pytest.mark.parametrize("name", ["sparsebench_normed", "test_nfnet"])
def test_a_computed_kernel_is_trained_dense_only(command, name):
    arguments = ["train", "--model", f"timm/{name}", "--recipe.steps", "2", "--recipe.evaluations", "1", "--no-mlflow"]
    code, out, err = command(*arguments, "--method", "static")
    assert (code, out, len(err)) == (2, [], 1)
    assert "computes its kernel from its weights; train it dense, or choose another model" in err[0]
    code, out, err = command(*arguments, "--method", "dense")
    assert (code, err) == (0, [])
    assert out[2] == "  FLOPs          training an unknown share of dense, inference an unknown share of dense"


# ---- whole runs -----------------------------------------------------------------------------------------------

TRAIN = (
    "train", "--sparsity", "0.8", "--recipe.steps", "6", "--recipe.batch-size", "8", "--updates.delta-t", "2",
    "--recipe.evaluations", "1", "--no-mlflow",
)  # fmt: skip


def trained(command, *arguments):
    """(lines of output, result) of the one run."""
    code, out, err = command(*TRAIN, *arguments)
    assert (code, err) == (0, [])
    return out, json.loads((Path(out[-1].split()[1]) / "result.json").read_text())


def test_a_run_by_its_name_and_by_a_tag_are_the_same(command):
    out, result = trained(command, "--model", "timm/test_resnet", "--policy.stem", "dense")
    assert result["uncounted"] == []
    assert 0 < result["inference_ratio"] < result["training_ratio"] < 1
    assert result["framework_count"]["ratio"] == 1
    again, _ = trained(command, "--model", "timm/test_resnet.r160_in1k", "--policy.stem", "dense")
    assert again == ["recorded before:", *out]
    record = Path(out[-1].split()[1])
    assert json.loads((record / "environment.json").read_text())["packages"]["timm"] == timm.__version__
    layers = json.loads((record / "layers.json").read_text())["layers"]
    assert (layers[0]["density"], round(sum(row["active"] for row in layers[1:]) / result["parameters"], 2)) == (1, 0.2)


def test_unknown_costs_are_told_as_unknown_everywhere(command):
    out, result = trained(command, "--model", "timm/sparsebench_mixed")
    assert out[2] == "  FLOPs          training an unknown share of dense, inference an unknown share of dense"
    unknown = [name for name in result if name.endswith(("_flops", "_ratio")) and name != "source_training_flops"]
    assert {result[name] for name in unknown} == {None}
    assert (len(unknown), result["uncounted"]) == (6, ["flat", "deep"])
    assert result["framework_count"]["ratio"] is None
    assert result["executed"] == dict.fromkeys(ledger.KINDS)
    assert result["executed_by_layer"]["grouped"]["forward"] > 0
    code, out, err = command("import", "runs", "--records", "more", "--no-mlflow")
    assert (code, err) == (0, [])
    for records in ("runs", "more"):
        shown = {
            f: command("leaderboard", "--format", f, "--records", records)[1] for f in ("table", "md", "csv", "json")
        }
        assert "  unknown  unknown  " in "\n".join(shown["table"])
        assert "| unknown | unknown |" in "\n".join(shown["md"])
        assert ",,,,,," in shown["csv"][1]
        assert {json.loads("\n".join(shown["json"]))[0][name] for name in unknown} == {None}


def test_a_run_with_unknown_costs_is_forecast():
    """Its plan knows prunable layers only."""
    recipe, updates = Recipe(steps=6, batch_size=8, evaluations=1), Updates(delta_t=2)
    prepared = prepare(
        RunConfig(model="timm/sparsebench_mixed", dataset="digits", method="rigl", backend="torch", sparsity=0.8,
                  recipe=recipe, updates=updates)
    )  # fmt: skip
    expected = forecast(prepared)
    assert set(expected.costs.values()) == {None}
    assert (expected.updates, expected.steps, expected.evaluations) == (1, 5, 1)
    planned = {
        layer.name: oracle.active(layer.size, prepared.sparsities[layer.name]) for layer in prepared.task.prunable
    }
    assert expected.active == planned


def test_mlflow_is_told_what_is_known():
    from sparsebench_board import entries

    known = dict.fromkeys(entries.FINAL, 1.0) | {"accuracy": 0.5, "loss": 1, "seconds": {"total": 2.0}, "parameters": 4}
    unknown = dict.fromkeys(("training_flops", "training_ratio", "inference_flops", "inference_ratio"))
    found = entries.final(known | unknown)
    assert found.keys() == entries.final(known).keys() - unknown.keys()
    assert entries.summary([found]).keys() & unknown.keys() == set()


REFUSED = {
    "backend": (["--model", "timm/test_resnet", "--backend", "jax"], "the model has builders for torch; choose"),
    "size": (
        ["--model", "timm/test_vit3"],
        "model 'timm/test_vit3' cannot be built for images of 1 × 8 × 8 and 10 classes (Input height (8) doesn't match "
        "model (160)): choose another model, or images of another size",
    ),
    "no logits": (["--model", "timm/sparsebench_pooled"], "(its output has shape (1, 1), not (1, 10))"),
    "width": (["--model", "timm/test_resnet", "--method", "small-dense"], "has one width"),
    "name": (["--model", "timm/test_resnett"], "--model: unknown timm model 'test_resnett': did you mean test_resnet"),
    "family": (["--model", "tim/resnet18"], "--model: unknown family of models 'tim': did you mean 'timm'?"),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(command, folder, arguments, told):
    code, out, err = command(*TRAIN, *arguments)
    assert (code, out, len(err)) == (2, [], 1), err
    assert told in err[0]
    assert [path.name for path in folder.iterdir()] == ["toys.toml"]
