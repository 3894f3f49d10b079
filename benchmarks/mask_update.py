"""One exact RigL update at ResNet-50 size, 0.9 ERK, on CPU: masks, zeroed weights and cleared momentum.

Against `torch.topk` twice per layer (scores already made, nothing applied) in the same run. Each update starts from
the same masks with fresh values, so that none is easier than the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import jax
import numpy as np
import torch
from torch import nn

from sparsebench.distributions import erk
from sparsebench.hardware.intervals import ratio
from sparsebench.hardware.timing import interleaved
from sparsebench.layers import Layer
from sparsebench.masks import Counts, budget, first_masks
from sparsebench.method import Event
from sparsebench.methods.rigl import rigl
from sparsebench.models import Input
from sparsebench_jax import layout, rewiring
from sparsebench_jax.program import adopt
from sparsebench_models.resnet import resnet50
from sparsebench_torch import rewiring as torch_rewiring
from sparsebench_torch.state import TorchState
from timing import arguments, show

LAYERS = resnet50.layers(Input((3, 224, 224), 1000))
EVENT = Event(1000, drop_fraction=0.3, replaces_step=True)
Arrays = dict[str, np.ndarray]


def problem(zeros: float) -> tuple[Arrays, Arrays, Arrays, dict[str, Counts]]:
    """Weights (masked), dense gradients with a share of exact zeros, masks, and the counts of the update."""
    generator = np.random.default_rng(0)
    weights = {layer.name: generator.standard_normal(layer.shape, np.float32) for layer in LAYERS}
    gradients = {layer.name: generator.standard_normal(layer.shape, np.float32) for layer in LAYERS}
    for gradient in gradients.values():
        gradient[generator.random(gradient.shape, np.float32) < zeros] = 0
    plan = erk(LAYERS, 0.9)
    named = {f"{name}.weight": value for name, value in weights.items()}
    masks = first_masks(rigl, LAYERS, plan, named, seed=0)
    now = {name: int(mask.sum()) for name, mask in masks.items()}
    sparse = {name: weights[name] * mask for name, mask in masks.items()}
    return sparse, gradients, masks, budget(rigl, LAYERS, plan, now, EVENT)


def topk_twice(weights: Arrays, gradients: Arrays, counts: dict[str, Counts]) -> Callable[[], None]:
    """The yardstick: for each layer, the k largest |w| and the n largest |g|."""
    scores = [
        (torch.from_numpy(np.abs(weights[layer.name]).ravel()), torch.from_numpy(np.abs(gradients[layer.name]).ravel()))
        for layer in LAYERS
    ]

    def work() -> None:
        for layer, (drop, grow) in zip(LAYERS, scores, strict=True):
            torch.topk(drop, counts[layer.name].kept, sorted=False)
            torch.topk(grow, counts[layer.name].grown, sorted=False)

    return work


def in_torch(
    weights: Arrays, gradients: Arrays, masks: Arrays, counts: dict[str, Counts]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """(reset, update)"""
    parameters = [nn.Parameter(torch.from_numpy(weights[layer.name].copy())) for layer in LAYERS]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for parameter, layer in zip(parameters, LAYERS, strict=True):
        parameter.grad = torch.from_numpy(gradients[layer.name])
        optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
    task = _Table(LAYERS)
    start = {name: torch.from_numpy(mask.copy()) for name, mask in masks.items()}
    multipliers = [mask.float() for mask in start.values()]
    state = TorchState(task, nn.Module(), optimizer, dict(start), multipliers, parameters)

    def reset() -> None:
        for parameter, layer, multiplier in zip(parameters, LAYERS, multipliers, strict=True):
            parameter.data.copy_(torch.from_numpy(weights[layer.name]))
            multiplier.copy_(start[layer.name])
        state.masks = dict(start)

    return reset, lambda: torch_rewiring.update_masks(state, rigl, 0, EVENT, counts) and None


def in_jax(
    weights: Arrays, gradients: Arrays, masks: Arrays, counts: dict[str, Counts]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """(reset, update), on kernels in Flax's layout."""
    install = jax.jit(adopt, donate_argnums=(0, 1))
    flax = {
        kind: {f"{name}.weight": jax.numpy.array(layout.flax(value)) for name, value in arrays.items()}
        for kind, arrays in (("weights", weights), ("gradients", gradients), ("masks", masks))
    }
    current: dict[str, object] = {}

    def reset() -> None:
        current["weights"] = jax.tree.map(jax.numpy.copy, flax["weights"])
        current["momentum"] = jax.tree.map(jax.numpy.ones_like, flax["weights"])
        jax.block_until_ready(current)

    def update() -> None:
        seen = rewiring.Seen(current["weights"], flax["gradients"], flax["masks"], {})
        new, values, _ = rewiring.on_host(rigl, LAYERS, 0, EVENT, counts, seen)
        new = jax.device_put(new, jax.devices("cpu")[0])
        jax.block_until_ready(install(current["weights"], {"trace": current["momentum"]}, seen.masks, new, values))

    return reset, update


class _Table:
    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers


def measure(zeros: float, repeats: int) -> dict[str, object]:
    """Milliseconds (median) and ratios to the yardstick."""
    weights, gradients, masks, counts = problem(zeros)
    works = {"topk_twice": topk_twice(weights, gradients, counts)}
    resets = []
    for name, make in (("torch", in_torch), ("jax", in_jax)):
        reset, works[name] = make(weights, gradients, masks, counts)
        resets.append(reset)
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for reset in resets:
            reset()
        for name, values in interleaved(works, 1, warmup=0).items():
            if repeat:
                seconds[name].append(values)
    joined = {name: np.concatenate(values) for name, values in seconds.items()}
    return {
        "milliseconds": {name: round(float(np.median(values)) * 1000, 1) for name, values in joined.items()},
        "ratio_to_topk": {name: asdict(ratio(joined[name], joined["topk_twice"])) for name in ("torch", "jax")},
    }


if __name__ == "__main__":
    options = arguments(__doc__, repeats=15)
    show(
        weights=sum(layer.size for layer in LAYERS),
        layers=len(LAYERS),
        normal_gradients=measure(0.0, options.repeats),
        ninety_percent_zero_gradients=measure(0.9, options.repeats),
    )
