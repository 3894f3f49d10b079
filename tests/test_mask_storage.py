"""What torch's masks are kept as and multiplied by: numbers on a CPU, bool elsewhere, few of them in NumPy."""

import numpy as np
import pytest

from sparsebench import noise
from sparsebench.methods.dense import dense
from sparsebench.methods.rigl import rigl
from sparsebench.methods.static import static
from tasks import begin, bits, conv, gated, half, one_thread, short, task, walk

pytest.importorskip("torch")
import torch

from sparsebench_torch import optimizers, rewiring, state, trainer
from sparsebench_torch.memory import mask_bytes
from sparsebench_torch.recording import AGAIN


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_masks_are_numbers_on_a_cpu_and_bool_elsewhere(kind):
    assert state.multiplier_type("cpu", kind) is kind
    assert state.multiplier_type("cuda", kind) is torch.bool


def test_off_the_cpu_a_mask_is_held_once_as_bool(monkeypatch):
    """A byte for each weight, before and after updates, and zero outside of it all the same."""
    monkeypatch.setattr(state, "multiplier_type", lambda device, kind: torch.bool)
    monkeypatch.setattr("sparsebench_torch.trainer.update_masks", on_device)
    job, method, each = (
        task(conv, 24),
        short(rigl, alpha=0.6),
        trainer.TorchTrainer(optimizer=optimizers.recordable, recorder=AGAIN),
    )
    masks = []
    for _, _, current in walk(each, job, method, 0.7):
        assert mask_bytes(current) == {"bool": sum(layer.size for layer in job.prunable)}
        assert [id(mask) for mask in current.masks.values()] == [id(each) for each in current.multipliers]
        masks.append(bits(each.masks(current)))
        weights = each.weights(current)
        for name, mask in each.masks(current).items():
            assert np.count_nonzero(weights[f"{name}.weight"][~mask]) == 0
    plain = trainer.TorchTrainer(optimizer=optimizers.recordable)
    monkeypatch.undo()
    assert masks == [bits(plain.masks(current)) for _, _, current in walk(plain, job, method, 0.7)]
    assert len(set(map(str, masks))) > 3


@pytest.mark.parametrize("model", [gated, conv, half], ids=lambda model: model.name)
def test_few_weights_are_masked_in_numpy_as_many_are_in_torch(model, monkeypatch):
    """The same products on the same memory, after updates too; bfloat16 is torch's alone."""
    one_thread()
    job, method, ends = task(model, 12), short(rigl, alpha=0.6), []
    for few in (state.FEW, 0):
        monkeypatch.setattr(state, "FEW", few)
        each = trainer.TorchTrainer()
        *_, (_, _, current) = walk(each, job, method, 0.7)
        assert len(current._few) == (len(job.prunable) if few and model is not half else 0)
        ends.append(bits(each.snapshot(current)))
    assert ends[0] == ends[1]


def on_device(current, method, seed, event, budget):
    """The update for accelerators, whatever the device."""
    layers = [layer for layer in current.task.layers if layer.name in current.masks]
    keys = {layer.name: noise.key(seed, event.iteration, layer.name) for layer in layers}
    with torch.no_grad():
        return rewiring.on_device(current, method, layers, keys, budget)


def test_a_masked_state_on_an_accelerator_is_made_of_bool():
    """On torch's device without memory, which is no CPU."""
    job = task(conv, 24)
    cpu = begin(trainer.TorchTrainer(), job, static, 0.5)
    module = trainer.TorchTrainer()._module(job).to("meta")
    made = state.make(job, module, cpu.optimizer, {name: mask.to("meta") for name, mask in cpu.masks.items()})
    assert {multiplier.dtype for multiplier in made.multipliers} == {torch.bool}
    assert all(mask is multiplier for mask, multiplier in zip(made.masks.values(), made.multipliers, strict=True))
    assert {multiplier.dtype for multiplier in cpu.multipliers} == {torch.float32}
    assert begin(trainer.TorchTrainer(), job, dense, 0.0).multipliers == []
