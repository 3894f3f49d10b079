"""Exported networks: zero outside the masks, loaded by timm strictly, and the same function as what was trained."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import small_folder
from sparsebench import exporting, records, runner, seals, states, tensors
from sparsebench.config import Recipe, RunConfig
from sparsebench.errors import UserError
from sparsebench.models import Input
from sparsebench.plugins import load
from sparsebench.prepare import prepare

pytest_plugins = ("command_line",)

NETS = [
    ("torch", "timm/resnet10t", "resnet10t"),
    ("torch", "mobilenetv1", "mobilenetv1_100"),
    pytest.param("jax", "mobilenetv1", "mobilenetv1_100", marks=pytest.mark.slow),
]
QUICK = ("--recipe.steps", "150", "--recipe.batch-size", "8", "--recipe.evaluations", "1")


def photographs(root, backend, model):
    """A record of a few steps of RigL on images of more than 64 pixels, and the data set."""
    small_folder.write(root / "photographs")
    recipe = Recipe(steps=3, batch_size=4, image_size=72, evaluations=1, learning_rate=0.01)
    updates = {"delta_t": 1, "end": 0.9}
    config = RunConfig(model=model, dataset="image-folder", method="rigl", backend=backend, sparsity=0.7,
                       recipe=recipe, updates=updates)  # fmt: skip
    prepared = prepare(config, root / "photographs")
    return records.read(runner.run(prepared, root / "runs")), prepared.task.dataset


def theirs(name, classes, weights):
    """timm's model, every entry of its state from the file."""
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    from safetensors.torch import load_file

    net = timm.create_model(name, num_classes=classes)
    net.load_state_dict(load_file(weights))
    torch.set_num_threads(1)
    return net.eval()


@pytest.mark.parametrize(("backend", "model", "name"), NETS)
def test_timms_model_is_the_one_that_was_trained(tmp_path, backend, model, name):
    torch = pytest.importorskip("torch")
    pytest.importorskip(backend)
    record, data = photographs(tmp_path, backend, model)
    found = exporting.exported(record, load("models", model))
    weights, masks = exporting.write(found, tmp_path / "net.safetensors", force=False)
    kept, arrays = tensors.read(masks)[0], states.read(weights)
    assert masks == tmp_path / "net.masks.safetensors"
    assert {layer: (mask.dtype, mask.shape) for layer, mask in kept.items()} == {
        row["name"]: (np.dtype(bool), tuple(row["shape"])) for row in record.layers
    }
    assert {row["name"]: row["active"] for row in record.layers} == {n: int(mask.sum()) for n, mask in kept.items()}
    assert all((arrays[f"{layer}.weight"][~mask] == 0).all() for layer, mask in kept.items())
    assert min(mask.mean() for mask in kept.values()) < 0.5
    pixels = np.stack([data.test.image(i, None) for i in range(len(data.test.labels))])
    images = np.stack([data.table[pixels[:, c], c] for c in range(3)], axis=1)
    labels = torch.from_numpy(data.test.labels.astype(np.int64))
    with torch.no_grad():
        logits = theirs(name, data.classes, weights)(torch.from_numpy(images))
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(record.result["loss"], rel=1e-4)
    assert (logits.argmax(1) == labels).double().mean().item() == pytest.approx(record.result["accuracy"])


# ---- the command ----------------------------------------------------------------------------------------------


def trained(command, *arguments):
    """The id of the one run."""
    code, out, err = command("train", *QUICK, "--no-mlflow", *arguments)
    assert (code, err) == (0, [])
    return Path(out[-1].split()[1]).name


def test_the_command_it_prints_does_what_it_says(command):
    pytest.importorskip("timm")
    id = trained(command, "--model", "timm/test_resnet", "--method", "set")
    code, out, err = command("export", id)
    assert (code, err) == (0, [])
    assert out[0].startswith(f"wrote {id}.safetensors: 373,")
    assert out[0].endswith(" parameters and running statistics, zero outside the masks")
    assert out[1] == f"wrote {id}.masks.safetensors: masks of 16 layers, 10.00 % of their weights active"
    python, *words = shlex.split(out[2].removeprefix("next: "))
    assert (python, len(out)) == ("python", 3)
    done = subprocess.run([sys.executable, "-W", "ignore", *words], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("<All keys matched successfully>\n", "")


def test_what_it_writes_is_what_a_run_starts_from(backend, command):
    id = trained(command, "--backend", backend.name)
    code, out, err = command("export", f"runs/{id}", "--to", "net.safetensors")
    assert (code, err) == (0, [])
    assert out == [
        "wrote net.safetensors: 50,610 parameters, zero outside the masks",
        "wrote net.masks.safetensors: masks of 3 layers, 10.00 % of their weights active",
        "timm has no model lenet-300-100: the file fits this model here",
        "next: sparsebench train --model lenet-300-100 --dataset digits --weights net.safetensors",
    ]
    again = trained(command, *shlex.split(out[-1])[3:], "--method", "dense")
    assert records.read(Path("runs", again)).environment["weights"] == "net.safetensors"


def test_a_dense_run_has_no_masks(command):
    id = trained(command, "--method", "dense")
    code, out, _ = command("export", id, "--to", "net.safetensors")
    assert (code, out[0]) == (0, "wrote net.safetensors: 50,610 parameters")
    assert not Path("net.masks.safetensors").exists()


def test_nothing_is_overwritten_unless_asked(command):
    id = trained(command)
    Path("net.masks.safetensors").write_text("mine")
    code, out, err = command("export", id, "--to", "net.safetensors")
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("error: net.masks.safetensors would be overwritten: ")
    assert Path("net.masks.safetensors").read_text() == "mine"
    assert not Path("net.safetensors").exists()
    assert command("export", id, "--to", "net.safetensors", "--force")[0] == 0
    assert tensors.read(Path("net.masks.safetensors"))[0].keys() == {"fc1", "fc2", "fc3"}
    code, out, err = command("export", id, "--to", "nowhere/net.safetensors")
    assert (code, out, len(err)) == (2, [], 1)
    assert "nowhere/net.safetensors cannot be written (No such file or directory)" in err[0]


def test_an_unknown_run_is_refused_with_the_nearest(command):
    id = trained(command)
    code, out, err = command("export", id[:-1])
    assert (code, out, len(err)) == (2, [], 1)
    assert f"there is no run {id[:-1]!r} in runs: did you mean {id!r}?" in err[0]


def test_records_without_running_statistics(command):
    id = trained(command)
    file = Path("runs", id, "layers.json")
    layers = json.loads(file.read_text())
    assert layers["input"] == {"shape": [1, 8, 8], "classes": 10, "width": 1.0}
    file.write_text(json.dumps({"layers": layers["layers"]}))
    seals.write(file.parent)
    code, out, _ = command("export", id)
    assert (code, out[2]) == (0, "timm has no model lenet-300-100: the file fits this model here")
    with pytest.raises(
        UserError, match=r"lacks 'bn1\.running_mean' and 105 more that resnet50 needs: records once held"
    ):
        exporting.exported(records.read(Path("runs", id)), load("models", "resnet50"))


@pytest.mark.parametrize(
    ("model", "twin", "small"), [("resnet50", "resnet50", 64), ("mobilenetv1", "mobilenetv1_100", 64)]
)
def test_small_and_narrow_networks_are_none_of_timms(model, twin, small):
    found = load("models", model)
    assert found.timm(Input((3, small + 1, small), 10)) == twin
    assert found.timm(Input((3, small, small), 10)) is None
    assert found.timm(Input((3, 224, 224), 10, width=0.5)) is None
    assert load("models", f"{model}-big").timm is None
