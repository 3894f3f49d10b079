"""One training step in eager PyTorch: forward, backward, optimizer, masks. Nothing in it waits for the device."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sparsebench.method import Method
from sparsebench_torch import optimizers
from sparsebench_torch.data import Part
from sparsebench_torch.state import TorchState

MEMORY_FORMATS = {"channels-first": torch.contiguous_format, "channels-last": torch.channels_last}


def step(state: TorchState, method: Method, parts: Iterable[Part]) -> Tensor:
    """Everything of a step but its learning rate; returns the mean loss of the batch."""
    loss = gradient(state, parts)
    if method.observe:
        state.observe(method.observe)
    if type(state.optimizer) not in optimizers.ELEMENTWISE:
        state.mask_gradients()
    state.optimizer.step()
    state.apply_masks()
    return loss


def gradient(state: TorchState, parts: Iterable[Part]) -> Tensor:
    """Forward and backward of a batch, part by part: mean gradients on the parameters; returns the mean loss.

    Where replicas share the batch the gradients are those of all of it, and the loss is that of their own share.
    """
    recipe = state.task.recipe
    state.optimizer.zero_grad(set_to_none=True)
    losses: list[Tensor] = []
    for k, (images, labels) in enumerate(parts, 1):
        with state.reducing(k == recipe.accumulation):
            loss = cross_entropy(logits(state, images), labels, label_smoothing=recipe.label_smoothing)
            if recipe.accumulation > 1:  # a division by 1, back and forth, is a hundredth of LeNet's step
                loss = loss / recipe.accumulation
            loss.backward()
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def logits(state: TorchState, images: Tensor) -> Tensor:
    """In the recipe's precision and memory format; logits are float32."""
    recipe = state.task.recipe
    half = recipe.precision == "bfloat16"
    with torch.autocast(images.device.type, torch.bfloat16) if half else nullcontext():
        return state.network(images.contiguous(memory_format=MEMORY_FORMATS[recipe.memory_format])).float()
