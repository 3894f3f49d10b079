"""What one of two replicas does, once for all tests of `test_replicated.py`: cases by name, each writes its arrays.

Started by torchrun with a folder; `here(case)` runs the same on one device.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import tasks
from sparsebench import tensors
from sparsebench.launch import launched
from sparsebench.methods.granet import granet_global
from sparsebench.methods.rigl import rigl
from sparsebench.methods.set import set_
from sparsebench.methods.snfs import snfs
from sparsebench_torch.trainer import join

STEPS = 20
METHODS = {"rigl": rigl, "set": set_, "snfs": snfs, "granet": granet_global}
MODELS = {"gated": tasks.gated, "conv": tasks.conv, "scripted": tasks.scripted}
RUNS = [
    *((method, model, parts) for method in ("rigl", "set", "snfs") for model in ("gated", "conv") for parts in (1, 2)),
    *((method, "scripted", 1) for method in METHODS),
]


def job(model, parts=1):
    return tasks.task(MODELS[model], STEPS, accumulation=parts, weight_decay=1e-2, label_smoothing=0.1)


def trained(trainer, method, model, parts):
    """Losses, masks after every iteration, the last weights and metrics, by name."""
    found, losses = {}, []
    own, work = tasks.short(METHODS[method], alpha=0.6), job(model, parts)
    for i, (_, loss, state) in enumerate(tasks.walk(trainer, work, own, 0.7, 0)):
        losses.append(loss)
        found |= {f"{i:02}/{name}": mask for name, mask in trainer.masks(state).items()}
    metrics = trainer.evaluate(state, "test")
    facts = {"loss": np.array(losses), "metrics": np.array([metrics.accuracy, metrics.loss])}
    return found | facts | {f"weights/{name}": array for name, array in trainer.weights(state).items()}


def main(folder):
    torch.set_num_threads(1)
    trainer, group = join("cpu", launched())
    for case in RUNS:
        tensors.write(folder / f"{'-'.join(map(str, case))}-{group.rank}.safetensors", trained(trainer, *case), {})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
